"""In which number format a run multiplies its matrices."""

from contextlib import AbstractContextManager, nullcontext

import torch

from tiny_audio.errors import ConfigError
from tiny_audio.models.precision import has_fast_bfloat16
from tiny_audio.training.config import Precision

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def compute_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """Of matrix products; what is trained is in float32 all the same.

    Raises:
        ConfigError: a GPU that has no bfloat16.
    """
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(["optim.precision is 'bf16', which this GPU does not compute; expected 'fp16' or 'fp32'"])
    return _DTYPES[precision]


def mixed_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Run matrix products in that format."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)
