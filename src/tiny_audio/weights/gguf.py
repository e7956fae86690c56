"""Reads a Llama model and its tokenizer from a GGUF file, and keeps a copy in the cache that loads at once.

Unpacking 4-bit weights and merging a vocabulary takes many seconds. The copy holds the same numbers as
float32 safetensors, which are mapped into memory instead of being read.
"""

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiny_audio.errors import WeightsError
from tiny_audio.weights.store import SMOLLM2_135M, WeightFile, cached_path, fetch, hash_file, locked, remove_leftovers

if TYPE_CHECKING:
    from gguf import GGUFReader
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

COPY_VERSION = 1
"""Raise it when the layout of the copy changes: older copies are then made again."""
CONTROL_TOKEN = 3
"""GGUF's token type of special tokens."""
PRE_TOKENIZERS = ("smollm",)
"""Ways of cutting text before the merges that we can rebuild: single digits, then GPT-2's pattern."""

LAYER_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Of a layer: GGUF's names and those of `transformers`."""
TOP_LEVEL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def open_gguf(path: str | Path) -> "GGUFReader":
    """Opens a GGUF file of the Llama architecture.

    Raises:
        WeightsError: no such file, not GGUF, cut short, or another architecture.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        architecture = _value(reader, path, "general.architecture")
    except (OSError, ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise WeightsError(f"cannot read '{path}': {error}; expected a GGUF file") from None
    if architecture != "llama":
        raise WeightsError(f"'{path}' holds a model of architecture '{architecture}'; expected 'llama'")
    return reader


def _value(reader: "GGUFReader", path: str | Path, key: str, default: Any = None) -> Any:
    field = reader.get_field(key)
    if field is not None:
        return field.contents()
    if default is None:
        raise WeightsError(f"'{path}' holds no '{key}'; expected a complete GGUF model")
    return default


def read_config(path: str | Path) -> dict[str, Any]:
    """The arguments of `transformers.LlamaConfig` that the file's metadata give."""
    reader = open_gguf(path)

    def get(key: str, default: Any = None) -> Any:
        return _value(reader, path, key, default)

    num_heads = get("llama.attention.head_count")
    return {
        "vocab_size": next((int(t.shape[1]) for t in reader.tensors if t.name == "token_embd.weight"), 0),
        "hidden_size": get("llama.embedding_length"),
        "intermediate_size": get("llama.feed_forward_length"),
        "num_hidden_layers": get("llama.block_count"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": get("llama.attention.head_count_kv", num_heads),
        "max_position_embeddings": get("llama.context_length"),
        "rms_norm_eps": get("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": get("llama.rope.freq_base", 10_000.0),
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "bos_token_id": get("tokenizer.ggml.bos_token_id", 1),
        "eos_token_id": get("tokenizer.ggml.eos_token_id", 2),
        "pad_token_id": get("tokenizer.ggml.padding_token_id", 2),
    }


def read_llama(path: str | Path) -> dict[str, Tensor]:
    """Every weight of a Llama GGUF file, float32, under its Hugging Face name.

    Raises:
        WeightsError: the file is malformed, or a tensor has a name or a quantisation that we do not know.
    """
    from gguf import dequantize

    reader = open_gguf(path)
    num_heads = _value(reader, path, "llama.attention.head_count")
    num_kv_heads = _value(reader, path, "llama.attention.head_count_kv", num_heads)
    state = {}
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":  # computed from the configuration instead
            continue
        try:
            array = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        except NotImplementedError:
            kind = tensor.tensor_type.name
            raise WeightsError(f"'{path}': cannot unpack {kind} of '{tensor.name}'; use another file") from None
        array = array.reshape(tuple(int(size) for size in reversed(tensor.shape)))
        if ".attn_q." in tensor.name:
            array = _unpermute(array, num_heads)
        elif ".attn_k." in tensor.name:
            array = _unpermute(array, num_kv_heads)
        state[_hf_name(path, tensor.name)] = torch.from_numpy(np.array(array, order="C"))
    return state


def _hf_name(path: str | Path, name: str) -> str:
    module, _, parameter = name.rpartition(".")
    if module in TOP_LEVEL:
        return f"{TOP_LEVEL[module]}.{parameter}"
    match module.split("."):
        case ["blk", layer, part] if part in LAYER_PARTS:
            return f"model.layers.{layer}.{LAYER_PARTS[part]}.{parameter}"
    raise WeightsError(f"'{path}': tensor '{name}' belongs to no Llama module")


def _unpermute(weight: NDArray[np.float32], num_heads: int) -> NDArray[np.float32]:
    """Undoes the row order of GGUF's query and key weights.

    GGUF puts the two numbers that rotary positions turn together side by side; Hugging Face puts
    the first ones of a head before all second ones.
    """
    rows, *rest = weight.shape
    return weight.reshape(num_heads, rows // num_heads // 2, 2, *rest).swapaxes(1, 2).reshape(rows, *rest)


def read_tokenizer(path: str | Path) -> "Tokenizer":
    """The byte-level BPE tokenizer in the file's metadata.

    Raises:
        WeightsError: the file holds another kind of tokenizer.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    reader = open_gguf(path)
    model = _value(reader, path, "tokenizer.ggml.model")
    cut = _value(reader, path, "tokenizer.ggml.pre")
    if model != "gpt2" or cut not in PRE_TOKENIZERS:
        raise WeightsError(
            f"'{path}' has a tokenizer '{model}' cut by '{cut}'; expected 'gpt2' cut by {PRE_TOKENIZERS}"
        )
    tokens = _value(reader, path, "tokenizer.ggml.tokens")
    kinds = _value(reader, path, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ", 1)) for merge in _value(reader, path, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def load_llm(spec: WeightFile = SMOLLM2_135M) -> "LlamaForCausalLM":
    """The language model, float32, in eval mode. The first call makes the copy in the cache.

    Raises:
        WeightsError: the file cannot be had, or is no Llama model.
    """
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = prepare(spec)
    config = LlamaConfig(**json.loads((folder / "config.json").read_text()))
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False, assign=True)
    model.tie_weights()
    # Buffers are not in the file, and a meta tensor has no numbers: build them again.
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    return model.eval()


def load_embedding_table(spec: WeightFile = SMOLLM2_135M) -> Tensor:
    """The token embeddings `(V, E)` alone, float32, without the rest of the model in memory.

    Raises:
        WeightsError: as `load_llm`.
    """
    from safetensors import safe_open

    with safe_open(prepare(spec) / "model.safetensors", framework="pt") as tensors:
        return tensors.get_tensor("model.embed_tokens.weight")


def load_tokenizer(spec: WeightFile = SMOLLM2_135M) -> "PreTrainedTokenizerFast":
    """The language model's tokenizer with its chat template. The first call makes the copy in the cache.

    Raises:
        WeightsError: the file cannot be had, or its tokenizer is not one that we can rebuild.
    """
    from transformers import PreTrainedTokenizerFast

    folder = prepare(spec)
    special = json.loads((folder / "special_tokens.json").read_text())
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), clean_up_tokenization_spaces=False, **special
    )


def prepare(spec: WeightFile = SMOLLM2_135M, *, verify: bool = False) -> Path:
    """The folder with the unpacked copy of a GGUF file; makes it where it is missing. Safe for two processes at once.

    Args:
        spec: the GGUF file; fetched only when the copy is missing.
        verify: hash the copy too, and make it again if it was damaged.

    Raises:
        WeightsError: the file cannot be had, is no Llama model, or the copy cannot be written.
    """
    source = cached_path(spec)
    folder = source.parent / f"{source.stem}-{spec.sha256[:12]}-v{COPY_VERSION}"
    if _is_complete(folder, verify=verify):
        return folder
    source = fetch(spec)
    with locked(folder):
        if not _is_complete(folder, verify=verify):
            _write_copy(source, folder)
    return folder


def _is_complete(folder: Path, *, verify: bool) -> bool:
    """Whether the folder holds every file as it was written. It appears by one rename, so never in part."""
    try:
        files = json.loads((folder / "files.json").read_text())
        return all(
            (folder / name).stat().st_size == size and (not verify or hash_file(folder / name) == sha256)
            for name, (size, sha256) in files.items()
        )
    except (OSError, ValueError):
        return False


def _write_copy(source: Path, folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    print(f"tiny-audio: unpacking '{source.name}', once; this takes some seconds", file=sys.stderr)  # noqa: T201
    state, tokenizer, config, special = (
        read_llama(source),
        read_tokenizer(source),
        read_config(source),
        _special(source),
    )
    remove_leftovers(folder)
    try:
        with TemporaryDirectory(prefix=f".part-{folder.name}-", dir=folder.parent) as scratch:
            part = Path(scratch) / folder.name
            part.mkdir()
            save_file(state, part / "model.safetensors", metadata={"format": "pt"})
            (part / "model.safetensors").chmod(0o644)  # safetensors writes it for the owner alone
            tokenizer.save(str(part / "tokenizer.json"))
            (part / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
            (part / "special_tokens.json").write_text(json.dumps(special, indent=1), encoding="utf-8")
            files = {file.name: (file.stat().st_size, hash_file(file)) for file in sorted(part.iterdir())}
            (part / "files.json").write_text(json.dumps(files, indent=1), encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            part.rename(folder)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot write '{folder}': {error}") from None


def _special(path: Path) -> dict[str, str]:
    """The named special tokens and the chat template, as arguments of `PreTrainedTokenizerFast`."""
    reader = open_gguf(path)
    tokens = _value(reader, path, "tokenizer.ggml.tokens")
    roles = {"bos_token": ("bos", 1), "eos_token": ("eos", 2), "unk_token": ("unknown", 0), "pad_token": ("padding", 2)}
    special = {
        role: tokens[_value(reader, path, f"tokenizer.ggml.{key}_token_id", default)]
        for role, (key, default) in roles.items()
    }
    return special | {"chat_template": _value(reader, path, "tokenizer.chat_template", "")}
