"""Reads a CTranslate2 Whisper file into Hugging Face tensor names.

The format (version 6, little endian) is a header and a list of named arrays, then aliases:
`uint32 version, string spec, uint32 revision, uint32 count`, and per array `string name, uint8 rank,
uint32 dims[rank], uint8 dtype, uint32 num_bytes, data`. A string is a uint16 length, a closing zero byte included.
"""

import mmap
import re
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiny_audio.errors import WeightsError

FORMAT_VERSION = 6
WHISPER_SPEC = "WhisperSpec"
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""Type numbers of the format. Bfloat16 (5) has no numpy type and no Whisper file that we know uses it."""

_LAYER = re.compile(r"(encoder|decoder)/layer_(\d+)/(.+)/(weight|bias|gamma|beta)")
_TOP_LEVEL = {
    "encoder/conv1": "model.encoder.conv1",
    "encoder/conv2": "model.encoder.conv2",
    "encoder/position_encodings": "model.encoder.embed_positions",
    "encoder/layer_norm": "model.encoder.layer_norm",
    "decoder/embeddings": "model.decoder.embed_tokens",
    "decoder/position_encodings": "model.decoder.embed_positions",
    "decoder/layer_norm": "model.decoder.layer_norm",
}
_LAYER_PARTS = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
_PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}


@dataclass(frozen=True, kw_only=True)
class WhisperDims:
    """Sizes of a Whisper model, read off its tensors."""

    n_mels: int
    width: int
    ffn_width: int
    num_heads: int
    num_encoder_layers: int
    num_decoder_layers: int
    num_audio_positions: int
    num_text_positions: int
    vocab_size: int


class _Reader:
    """A cursor over the bytes that refuses to run past the end."""

    def __init__(self, data: mmap.mmap | bytes, path: Path) -> None:
        self.data = data
        self.path = path
        self.offset = 0

    def take(self, num_bytes: int, what: str) -> int:
        """Skips `num_bytes`; returns where they begin."""
        start, end = self.offset, self.offset + num_bytes
        if end > len(self.data):
            raise _malformed(self.path, f"it ends at byte {len(self.data)}, inside {what} (needs {end})")
        self.offset = end
        return start

    def number(self, code: str, what: str) -> int:
        return int(struct.unpack_from("<" + code, self.data, self.take(struct.calcsize("<" + code), what))[0])

    def string(self, what: str) -> str:
        length = self.number("H", what)
        start = self.take(length, what)
        raw = bytes(self.data[start : start + length])
        if not raw.endswith(b"\0"):
            raise _malformed(self.path, f"{what} at byte {start} has no closing zero")
        try:
            return raw[:-1].decode("utf-8")
        except UnicodeDecodeError:
            raise _malformed(self.path, f"{what} at byte {start} is not UTF-8") from None


def _malformed(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"'{path}' is not a CTranslate2 Whisper file that we can read: {reason}")


def read_arrays(path: str | Path) -> dict[str, NDArray[np.generic]]:
    """Every named array of a CTranslate2 model file, as it lies there; aliases are left out.

    Raises:
        WeightsError: no such file, another format version, or the file ends too early.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: mmap of an empty file
        raise WeightsError(f"cannot read '{path}': {error}; expected a CTranslate2 model.bin") from None
    reader = _Reader(data, path)
    version = reader.number("I", "the header")
    if version != FORMAT_VERSION:
        raise _malformed(path, f"found format version {version}, expected {FORMAT_VERSION}")
    spec = reader.string("the model kind")
    if spec != WHISPER_SPEC:
        raise _malformed(path, f"found a model of kind '{spec}', expected '{WHISPER_SPEC}'")
    reader.number("I", "the revision")
    count = reader.number("I", "the array count")
    return dict(_read_array(reader) for _ in range(count))


def _read_array(reader: _Reader) -> tuple[str, NDArray[np.generic]]:
    name = reader.string("an array name")
    rank = reader.number("B", name)
    shape = tuple(reader.number("I", name) for _ in range(rank))
    dtype_id = reader.number("B", name)
    num_bytes = reader.number("I", name)
    if dtype_id not in DTYPES:
        raise _malformed(reader.path, f"array '{name}' has type number {dtype_id}, expected one of {sorted(DTYPES)}")
    dtype = np.dtype(DTYPES[dtype_id])
    count = int(np.prod(shape, dtype=np.int64))
    if num_bytes != count * dtype.itemsize:
        raise _malformed(reader.path, f"array '{name}' of shape {shape} has {num_bytes} bytes")
    start = reader.take(num_bytes, name)
    return name, np.frombuffer(reader.data, dtype, count, start).reshape(shape)


def read_whisper(path: str | Path, *, stacks: Collection[str] = ("encoder", "decoder")) -> dict[str, Tensor]:
    """Encoder and decoder weights of a Whisper file, float32, under their Hugging Face names.

    Names look like `model.encoder.layers.0.self_attn.q_proj.weight`. The tied `proj_out.weight` is left out, and so is
    the bias of every `k_proj`: Whisper has none there, the file holds zeros.

    Args:
        path: the `model.bin`.
        stacks: which halves to read; the decoder is most of the file.

    Raises:
        WeightsError: the file is missing, malformed, quantised to integers or not a Whisper model.
    """
    path = Path(path)
    state = {}
    for name, array in read_arrays(path).items():
        if (
            array.ndim == 0
            or name.split("/")[0] not in stacks
            or name in ("decoder/alignment_heads", "decoder/alignment_layer")
        ):
            continue
        if array.dtype.kind != "f":
            raise _malformed(path, f"array '{name}' has integer type {array.dtype}; expected float16 or float32")
        for hf_name, part in _split(path, name, array):
            state[hf_name] = torch.from_numpy(part.copy()).float()
    if not state:
        raise _malformed(path, f"it holds no weights of {' and '.join(stacks)}")
    return state


def _split(path: Path, name: str, array: NDArray[np.generic]) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """The Hugging Face tensors that one array of the file holds."""
    module, _, parameter = name.rpartition("/")
    if module in _TOP_LEVEL and parameter in _PARAMETERS:
        yield f"{_TOP_LEVEL[module]}.{_PARAMETERS[parameter]}", array
        return
    match = _LAYER.fullmatch(name)
    if match is None or match[3] not in _LAYER_PARTS:
        raise _malformed(path, f"array '{name}' belongs to no Whisper module")
    stack, layer, module, parameter = match.groups()
    targets = _LAYER_PARTS[module]
    if len(array) % len(targets):
        raise _malformed(path, f"array '{name}' has {len(array)} rows, expected a multiple of {len(targets)}")
    for target, part in zip(targets, np.split(array, len(targets)), strict=True):
        if target.endswith("k_proj") and parameter == "bias":
            if part.any():
                raise _malformed(path, f"array '{name}' has a key bias that is not zero; Whisper has no key bias")
            continue
        yield f"model.{stack}.layers.{layer}.{target}.{_PARAMETERS[parameter]}", part


def whisper_dims(state: Mapping[str, Tensor]) -> WhisperDims:
    """Sizes of the model whose weights `read_whisper` returned. Every Whisper head is 64 wide (arXiv:2212.04356)."""
    width, n_mels, _ = state["model.encoder.conv1.weight"].shape
    vocab_size = len(state["model.decoder.embed_tokens.weight"])
    return WhisperDims(
        n_mels=n_mels,
        width=width,
        ffn_width=len(state["model.encoder.layers.0.fc1.weight"]),
        num_heads=width // 64,
        num_encoder_layers=sum(name.startswith("model.encoder.") and name.endswith("fc1.weight") for name in state),
        num_decoder_layers=sum(name.startswith("model.decoder.") and name.endswith("fc1.weight") for name in state),
        num_audio_positions=len(state["model.encoder.embed_positions.weight"]),
        num_text_positions=len(state["model.decoder.embed_positions.weight"]),
        vocab_size=vocab_size,
    )
