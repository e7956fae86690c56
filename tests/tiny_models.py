"""Tiny real modules: a tokenizer of whole words and bytes, and a language model of two layers."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ["one", "two", "three", "four", "five"]


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


def tiny_llm(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Frozen, of width 16, with embeddings far enough apart to be told from each other."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    llm = LlamaForCausalLM(config).eval().requires_grad_(False)
    torch.nn.init.normal_(llm.get_input_embeddings().weight, std=0.5)
    return llm
