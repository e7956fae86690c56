"""Tiny real modules: a tokenizer of whole words and bytes, and language models of a few layers."""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from tiny_audio.models.asr_config import ASRConfig, EncoderConfig, LLMConfig, LoRAConfig, ProjectorConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.models.lora import add_lora
from tiny_audio.models.modules import Modules, build_ctc_tokenizer
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.models.speech_llm import SpeechLLM

WORDS = ["one", "two", "three", "four", "five"]
LLM_FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "llama-untied": {"tie_word_embeddings": False},
    "qwen3": {"head_dim": 8, "tie_word_embeddings": True},
    "smollm3": {"num_hidden_layers": 4, "no_rope_layer_interval": 2, "tie_word_embeddings": True},
    "mistral-sliding": {"sliding_window": 5, "tie_word_embeddings": False},
    "qwen3-sliding": {"head_dim": 8, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
}
"""What is special about each: a `transformers` type, a dash, and what was changed in it."""


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, plus whole tokens for the words and for the end of a turn."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([f" {word}" for word in WORDS])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")


def llm_architecture(tokenizer: PreTrainedTokenizerFast, family: str = "llama") -> dict[str, Any]:
    """The `transformers` configuration of a language model of width 16, with its `model_type`."""
    return {
        "model_type": family.split("-")[0],
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
        **LLM_FAMILIES[family],
    }


def tiny_llm(tokenizer: PreTrainedTokenizerFast, family: str = "llama") -> Any:
    """Frozen, of width 16, with embeddings far enough apart to be told from each other."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(**llm_architecture(tokenizer, family))
    llm = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for name, parameter in llm.named_parameters():
        if parameter.ndim == 2:  # far from the tiny values that training starts with
            torch.nn.init.normal_(parameter, std=0.5 if "embed" in name else 0.3)
    return llm


TINY_WHISPER = {
    "d_model": 64,
    "encoder_layers": 2,
    "encoder_attention_heads": 1,
    "encoder_ffn_dim": 96,
    "max_source_positions": 1500,
    "num_mel_bins": 80,
}
TINY_CONFIG = ASRConfig(
    encoder=EncoderConfig(source=None, architecture=TINY_WHISPER),
    encoder_dim=64,
    llm_dim=16,
    vocab_size=len(word_tokenizer()),
    projector=ProjectorConfig(hidden_dim=32, num_blocks=1),
    llm=LLMConfig(source=None, training="lora", lora=LoRAConfig(rank=2, alpha=4.0)),
)


def tiny_asr_model(
    config: ASRConfig = TINY_CONFIG, *, family: str = "llama", with_encoder: bool = True, seed: int = 0
) -> ASRModel:
    """A whole recogniser in evaluation mode; its frozen parts are the same for every seed, the trained ones are not."""
    tokenizer = word_tokenizer()
    llm = tiny_llm(tokenizer, family)
    if config.llm.lora:
        add_lora(llm, rank=config.llm.lora.rank, alpha=config.llm.lora.alpha)
    encoder = build_encoder(config.encoder) if with_encoder else None
    torch.manual_seed(seed)
    projector = build_projector(config.projector, encoder_dim=config.encoder_dim, llm_dim=config.llm_dim)
    for parameter in [*projector.parameters(), *(p for p in llm.parameters() if p.requires_grad)]:
        torch.nn.init.normal_(parameter, std=0.2)
    modules = Modules(
        projector=projector,
        table_VE=llm.get_input_embeddings().weight,
        tokenizer=tokenizer,
        ctc_tokenizer=build_ctc_tokenizer(config.projector, tokenizer),
        encoder=encoder,
        speech_llm=None if config.draft_only else SpeechLLM(llm, tokenizer),
    )
    return ASRModel(config, modules).eval()
