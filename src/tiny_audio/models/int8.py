"""Linear layers with 8-bit weights and activations, on CPUs that multiply those much faster than float32.

Weights have one scale for each output, activations one for each row. A few channels of a transformer are tens of times
louder than the rest, and such a scale would leave the others a handful of levels. So activations and weights are first
mixed by a Hadamard matrix in blocks of channels (arXiv 2404.00456): loud channels spread over their block, and the
product stays the same.

A row's result does not depend on the rows beside it, to the last bit: all sums are sums of integers, which are exact in
any order. The 8-bit products are oneDNN's, which PyTorch brings along.

Shapes: N rows, I inputs, O outputs, K channels of a block.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from tiny_audio.models.lora import LoRALinear

_MAX_BLOCK = 32
_GRID = 2**15
"""Steps from zero to a row's largest value before it is mixed. Sums of a block fit into the 24 bits of a float32."""


def is_supported() -> bool:
    """Whether this PyTorch has 8-bit products for this CPU."""
    return "onednn" in torch.backends.quantized.supported_engines and hasattr(torch.ops.onednn, "qlinear_pointwise")


def _activation_range() -> int:
    """Largest 8-bit activation: without VNNI, sums of two full 8-bit products overflow."""
    return 127 if torch.cpu._is_vnni_supported() else 63


class Int8Linear(nn.Module):
    """`(..., in)` to `(..., out)`, about 1 % off the float layer it replaces; for inference only.

    Args:
        weight: `(out, in)` of the float layer.
        bias: `(out,)`, kept in float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = None if bias is None else nn.Parameter(bias.detach().float(), requires_grad=False)
        self._mixer_KK = _hadamard(_block_size(self.in_features))
        weight_OI = _mix(weight.detach().float(), self._mixer_KK) / len(self._mixer_KK)
        self._weight_scales = weight_OI.abs().amax(dim=1).clamp_min(1e-12) / 127
        self._weight_zeros = torch.zeros(len(weight_OI), dtype=torch.int8)
        rounded = (weight_OI / self._weight_scales[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._range = _activation_range()

    def forward(self, hidden: Tensor) -> Tensor:
        """Multiply."""
        rows_NI = hidden.flatten(end_dim=-2).float()
        steps_N1 = _largest(rows_NI).clamp_min_(1e-12).mul_(1 / _GRID)
        mixed_NI = _mix((rows_NI / steps_N1).round_(), self._mixer_KK)
        scales_N1 = _largest(mixed_NI).clamp_min_(1.0).mul_(1 / self._range)
        zero = self._range + 1  # unsigned: the kernels take activations from 0 to 255
        rounded = mixed_NI.div_(scales_N1).add_(zero + 0.5).to(torch.uint8)
        product = torch.ops.onednn.qlinear_pointwise(
            rounded,
            1.0,
            zero,
            self._packed,
            self._weight_scales,
            self._weight_zeros,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        ).mul_(scales_N1.mul_(steps_N1))
        if self.bias is not None:
            product += self.bias
        return product.unflatten(0, hidden.shape[:-1])


def quantize_linears(module: nn.Module, *, keep: Collection[str] = ()) -> None:
    """Replace every linear layer inside `module` by its 8-bit version, in place; those named in `keep` stay."""
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if name in keep or isinstance(parent, LoRALinear):
                continue
            if isinstance(layer, nn.Linear | LoRALinear):
                setattr(parent, name, Int8Linear(layer.weight, layer.bias))


def _block_size(width: int) -> int:
    """The largest power of two that divides the width, up to `_MAX_BLOCK`."""
    return min(width & -width, _MAX_BLOCK)


def _hadamard(size: int) -> Tensor:
    """`(K, K)` of 1 and -1; its product with itself is K times the identity."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], dim=1), torch.cat([matrix, -matrix], dim=1)])
    return matrix


def _mix(rows: Tensor, mixer_KK: Tensor) -> Tensor:
    return (rows.view(-1, len(mixer_KK)) @ mixer_KK).view_as(rows)


def _largest(rows: Tensor) -> Tensor:
    """Largest absolute value of each row; twenty times as fast as the norm that says the same."""
    return torch.maximum(rows.amax(dim=1, keepdim=True), -rows.amin(dim=1, keepdim=True))
