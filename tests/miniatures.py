"""Whole systems in miniature: the kinds, adapters and prompts of a configuration, at sizes that train in seconds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from tiny_audio.models import llm as llms
from tiny_audio.models.asr_config import ASRConfig, EncoderConfig, EncoderFamily, LLMConfig, LoRAConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import save_checkpoint
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import AuTConfig, aut_preset
from tiny_audio.models.encoders.encoder import EncoderOutput
from tiny_audio.models.lora import lora_state_dict
from tiny_audio.models.modules import build_modules
from tiny_audio.recipes import build_recipe
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.training.config import CTCSystem
from tiny_models import TINY_WHISPER, WORDS, llm_architecture, word_tokenizer

TOKENIZER = word_tokenizer()
LLM_DIM = 48
_SELF_SUPERVISED = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
_LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
ENCODERS: Mapping[EncoderFamily, dict[str, Any]] = {
    "whisper": TINY_WHISPER,
    "hubert": _SELF_SUPERVISED | _LARGE,
    "wav2vec2": _SELF_SUPERVISED,
    "wavlm": _SELF_SUPERVISED,
    "aut": {"conv_channels": [8, 8, 16], "num_layers": 1, "num_heads": 2, "ffn_dim": 32, "projector_dim": None},
}
"""A tiny architecture of each family."""
ENCODER_DIMS: Mapping[EncoderFamily, int] = {"whisper": 64, "hubert": 16, "wav2vec2": 16, "wavlm": 16, "aut": 16}


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    """With an offset and a loudness of its own, so that normalising changes it."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 0.1, num_samples) * rng.uniform(0.2, 2) + 0.05).astype(np.float32)


def save_encoder(folder: Path, family: EncoderFamily) -> Path:
    """A tiny encoder in a folder as the hub would give it, or of AuT, as its training does."""
    torch.manual_seed(0)
    if family == "aut":
        CTCModel(CTCConfig(encoder=AuTConfig(**ENCODERS["aut"])), CTCUnits.train_bpe(WORDS, num_units=40)).save(folder)
        return folder
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 1, "decoder_ffn_dim": 8} if family == "whisper" else {}
    config = AutoConfig.for_model(family, **ENCODERS[family] | decoder)
    model: Any = AutoModel.from_config(config)
    for name, parameter in model.named_parameters():
        if "layers" in name and parameter.ndim == 2:  # frames that differ, or a comparison would say nothing
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True})
    )
    return folder


def save_llm(folder: Path, family: str = "llama") -> Path:
    """A language model and its tokenizer, in a folder as the hub would give it."""
    torch.manual_seed(0)
    sizes = {"hidden_size": LLM_DIM, "intermediate_size": 96, "bos_token_id": None}
    llm: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(**llm_architecture(TOKENIZER, family) | sizes))
    for name, parameter in llm.named_parameters():
        if parameter.ndim == 2:  # wide and loud enough for a frozen one to be sure of a token
            torch.nn.init.normal_(parameter, std=0.5 if "embed" in name else 0.2)
    llm.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def miniature(config: ASRConfig, folder: Path) -> ASRConfig:
    """The same system with a random encoder and a language model that lies in `folder`, which is made where needed."""
    model_type = llms.llm_architecture(config.llm)["model_type"]
    source = folder / model_type
    if not source.is_dir():
        save_llm(source, model_type)
    family = config.encoder.family
    return replace(
        config,
        encoder=EncoderConfig(
            family=family, source=None, architecture=ENCODERS[family], lora=_small(config.encoder.lora)
        ),
        projector=replace(config.projector, hidden_dim=32, num_blocks=1, dropout=0.0),
        llm=LLMConfig(source=str(source), training=config.llm.training, lora=_small(config.llm.lora)),
        encoder_dim=ENCODER_DIMS[family],
        llm_dim=LLM_DIM,
        vocab_size=len(TOKENIZER),
    )


def miniature_ctc(system: CTCSystem, texts: Sequence[str]) -> CTCModel:
    """The same system with a small encoder, and units of the texts."""
    preset = aut_preset(system.preset)
    sizes = AuTConfig(
        conv_channels=(16, 16, 32),
        num_layers=1,
        num_heads=2,
        ffn_dim=64,
        depthwise_kernel=preset.depthwise_kernel,
        dropout=0.0,
    )
    units = CTCUnits.train_bpe(texts, num_units=40)
    return CTCModel(CTCConfig(encoder=sizes, head_upsample=system.head_upsample), units)


def _small(lora: LoRAConfig | None) -> LoRAConfig | None:
    return lora and replace(lora, rank=2, alpha=4.0, first_block=min(lora.first_block, 1))


def train_adapters(model: ASRModel) -> None:
    """Adapters as if they had been trained."""
    torch.manual_seed(1)
    for part in (model.encoder, model.decoder):
        for tensor in lora_state_dict(part).values() if part is not None else ():
            torch.nn.init.normal_(tensor, std=0.2)


@torch.no_grad()
def projected_tokens(model: ASRModel, encoded: EncoderOutput) -> list[torch.Tensor]:
    """The projector's real outputs for each row, `(A, E)`, and of an aligned one all three side by side."""
    projected = model.projector(*encoded)
    parts = (projected,) if isinstance(projected, torch.Tensor) else projected
    joined = torch.cat([part.reshape(*part.shape[:2], -1) for part in parts], dim=-1)
    lengths = model.projector.output_lengths(encoded.lengths).tolist()
    return [row[:length] for row, length in zip(joined, lengths, strict=True)]


@torch.no_grad()
def logits(model: ASRModel, encoded: EncoderOutput) -> list[torch.Tensor]:
    """What the language model expects as the first token of each answer, `(V,)`, from the encoder's output on."""
    lengths_B = model.projector.output_lengths(encoded.lengths)
    embeds = model.audio_embeddings(model.projector(*encoded), lengths_B, model.ctc_table_VE)
    assert model.speech_llm is not None
    return [model.speech_llm.prefill(audio_AE)[1].flatten() for audio_AE in embeds]


def save_adapted(folder: Path, *, first_block: int = 1) -> Path:
    """A small system like the shipped one, with adapters in the encoder, untrained."""
    torch.manual_seed(0)
    config = miniature(build_recipe("tiny_audio_base").model, folder.parent / "llm")
    encoder = folder.parent / "encoder"
    if not encoder.exists():
        save_encoder(encoder, "whisper")
    lora = LoRAConfig(rank=2, alpha=2.0, targets=("q_proj", "fc1"), first_block=first_block)
    config = replace(config, encoder=replace(config.encoder, source=str(encoder), architecture={}, lora=lora))
    model = ASRModel(config, build_modules(config))
    train_adapters(model)
    save_checkpoint(folder, model, dtype=torch.float16)
    return folder
