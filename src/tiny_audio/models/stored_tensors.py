"""Tensors of a checkpoint in a safetensors file, matrices in 8 bits where that is asked for.

An 8-bit matrix `name` (rounded to 1/127 of each row's largest absolute value) has the factors of its rows beside it, as
`name.scale`. It is read back as float16, so that nobody else needs to know.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tiny_audio.errors import CheckpointError

SCALE = ".scale"
_MAX = 127
_MIN_ELEMENTS = 4_096
"""Of a matrix that is worth it."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, dtype: torch.dtype) -> None:
    """Write tensors in a format; `torch.int8`: matrices in 8 bits, all else in float16. Whole numbers stay."""
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if dtype == torch.int8 and tensor.ndim > 1 and tensor.numel() >= _MIN_ELEMENTS:
            rows = tensor.detach().to("cpu", torch.float32).flatten(1)
            scale = (rows.abs().amax(dim=1, keepdim=True) / _MAX).clamp_min(torch.finfo(torch.float32).tiny)
            stored[name] = (rows / scale).round().to(torch.int8).view(tensor.shape).contiguous()
            stored[f"{name}{SCALE}"] = scale.squeeze(1).contiguous()
        else:
            wanted = torch.float16 if dtype == torch.int8 else dtype
            wanted = wanted if tensor.is_floating_point() else tensor.dtype
            stored[name] = tensor.detach().to("cpu", wanted).contiguous()
    save_file(stored, path, metadata={"format": "pt"})


def read_stored_tensors(path: Path) -> dict[str, Tensor]:
    """What `write_tensors` wrote.

    Raises:
        CheckpointError: not there, or no such file.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read '{path}': {error}") from error
    scales = {name.removesuffix(SCALE): stored.pop(name) for name in list(stored) if name.endswith(SCALE)}
    for name, scale in scales.items():
        if name not in stored or stored[name].dtype != torch.int8 or len(stored[name]) != len(scale):
            raise CheckpointError(f"'{path}' has '{name}{SCALE}' without the 8-bit matrix that it belongs to")
        rows = stored[name].flatten(1).float() * scale[:, None]
        stored[name] = rows.view(stored[name].shape).to(torch.float16)
    return stored
