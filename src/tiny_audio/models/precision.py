"""Which number format a device computes fast in."""

from contextlib import AbstractContextManager, nullcontext

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 matrix products run in hardware; on other CPUs they are emulated and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def has_bfloat16_tiles() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 (AMX), twice as fast as float32 and more."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def autocast(device: torch.device, *, enabled: bool = True) -> AbstractContextManager[object]:
    """Run matrix products in bfloat16 where the device does so in hardware, else leave everything in float32."""
    if enabled and has_fast_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
