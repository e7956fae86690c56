"""Linear layers with 8-bit weights and activations, on CPUs that multiply those much faster than float32.

Weights have one scale for each output, activations one for each row, so that a row's result does not depend on the rows
beside it: sums of 8-bit products are exact, and a batch equals its rows one by one. The products are oneDNN's, which
PyTorch brings along.
"""

import torch
from torch import Tensor, nn

from tiny_audio.models.lora import LoRALinear

_ROWS_AT_ONCE = 512
"""What stands between rounding and product then stays in the processor's cache: up to twice as fast, in less memory."""

_ROW_STEP = 16


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
        weight = weight.detach().float()
        self._weight_scales = weight.abs().amax(dim=1).clamp_min(1e-12) / 127
        self._weight_zeros = torch.zeros(len(weight), dtype=torch.int8)
        rounded = (weight / self._weight_scales[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._range = _activation_range()

    def forward(self, hidden: Tensor) -> Tensor:
        """Multiply."""
        rows = hidden.flatten(end_dim=-2).float()
        if len(rows) <= _ROWS_AT_ONCE:
            product = self._multiply(rows)
        else:
            product = rows.new_empty(len(rows), self.out_features)
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                part = slice(first, first + _ROWS_AT_ONCE)
                product[part] = self._multiply(rows[part])
        return product.unflatten(0, hidden.shape[:-1])

    def _multiply(self, rows: Tensor) -> Tensor:
        largest = rows.abs().amax(dim=1, keepdim=True)  # the infinity norm, whose own kernel takes 15 times as long
        scales = largest.clamp_min_(1e-12).mul_(1 / self._range)
        zero = self._range + 1  # unsigned: the kernels take activations from 0 to 255
        # Through signed 8 bits: float32 to unsigned takes three times as long. Up to a round number of rows, of which
        # nobody reads the last: for each new number oneDNN makes a kernel, which takes longer than the product.
        rounded = torch.empty(-(-len(rows) // _ROW_STEP) * _ROW_STEP, self.in_features, dtype=torch.int8)
        rounded[: len(rows)] = (rows / scales).round_()
        rounded = rounded.view(torch.uint8).add_(zero)
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
        )[: len(rows)].mul_(scales)
        if self.bias is not None:
            product += self.bias
        return product


def quantize_linears(module: nn.Module) -> None:
    """Replace every linear layer inside `module` by its 8-bit version, in place."""
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Linear | LoRALinear) and not isinstance(parent, LoRALinear):
                setattr(parent, name, Int8Linear(layer.weight, layer.bias))
