"""Architectures of published language models by hub id: counted and built without a download.

Values are those of each model's own `config.json`, as arguments of its `transformers` configuration class.
"""

from typing import Any


def _llama(hidden: int, feed_forward: int, layers: int, heads: int, kv_heads: int, **others: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192,
        **others,
    }


def _smollm2(
    hidden: int, feed_forward: int, layers: int, heads: int, kv_heads: int, rope_theta: float
) -> dict[str, Any]:
    special = {"vocab_size": 49_152, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    return _llama(
        hidden, feed_forward, layers, heads, kv_heads, **special, rope_theta=rope_theta, tie_word_embeddings=True
    )


def _qwen3(hidden: int, feed_forward: int, layers: int, heads: int, *, tied: bool) -> dict[str, Any]:
    return {
        "model_type": "qwen3",
        "vocab_size": 151_936,
        "hidden_size": hidden,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "max_position_embeddings": 40_960,
        "tie_word_embeddings": tied,
        "bos_token_id": 151_643,
        "eos_token_id": 151_645,
    }


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": _smollm2(576, 1536, 30, 9, 3, rope_theta=1e5),
    "HuggingFaceTB/SmolLM2-360M-Instruct": _smollm2(960, 2560, 32, 15, 5, rope_theta=1e5),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _smollm2(2048, 8192, 24, 32, 32, rope_theta=1.3e5),
    "HuggingFaceTB/SmolLM3-3B": {
        "model_type": "smollm3",
        "vocab_size": 128_256,
        "hidden_size": 2048,
        "intermediate_size": 11_008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "no_rope_layer_interval": 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5e6,
        "max_position_embeddings": 65_536,
        "tie_word_embeddings": True,
        "bos_token_id": 128_000,
        "eos_token_id": 128_012,
        "pad_token_id": 128_012,
    },
    "Qwen/Qwen3-0.6B": _qwen3(1024, 3072, 28, 16, tied=True),
    "Qwen/Qwen3-1.7B": _qwen3(2048, 6144, 28, 16, tied=True),
    "Qwen/Qwen3-4B": _qwen3(2560, 9728, 36, 32, tied=True),
    "Qwen/Qwen3-8B": _qwen3(4096, 12_288, 36, 32, tied=False),
    "meta-llama/Meta-Llama-3-8B-Instruct": _llama(
        4096, 14_336, 32, 32, 8, vocab_size=128_256, rope_theta=5e5, bos_token_id=128_000, eos_token_id=128_009
    ),
    "mistralai/Mistral-7B-Instruct-v0.3": {
        "model_type": "mistral",
        "vocab_size": 32_768,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "max_position_embeddings": 32_768,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}
ARCHITECTURES["smollm2-135m-instruct"] = ARCHITECTURES["HuggingFaceTB/SmolLM2-135M-Instruct"]
