"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) on the linear layers of a frozen model."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.errors import UnknownNameError
from tiny_audio.models.asr_config import LoRAConfig


class LoRALinear(nn.Module):
    """A frozen linear layer plus `alpha / rank` times a trained product of two thin matrices; zero at the start.

    The matrices are float32 and compute in the format of what they read.
    """

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.is_enabled = True
        device = base.weight.device
        self.down = nn.Parameter(torch.empty(rank, base.in_features, dtype=torch.float32, device=device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, dtype=torch.float32, device=device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.register_buffer("merged", None, persistent=False)
        self.merged: Tensor | None
        self.train(base.training)

    @property
    def weight(self) -> Tensor:
        """What the layer multiplies with, all in all; some models read it themselves."""
        if not self.is_enabled:
            return self.base.weight
        if self.merged is not None:
            return self.merged
        weight = self.base.weight
        return torch.addmm(weight, self.up.to(weight.dtype), self.down.to(weight.dtype), alpha=self.scale)

    @property
    def bias(self) -> Tensor | None:
        """That of the frozen layer."""
        return self.base.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """`(..., in)` to `(..., out)`."""
        if not self.is_enabled or self.merged is not None:
            return F.linear(hidden, self.weight, self.bias)
        down, up = self.down.to(hidden.dtype), self.up.to(hidden.dtype)
        return self.base(hidden) + ((self.dropout(hidden) @ down.T) @ up.T) * self.scale

    def train(self, mode: bool = True) -> "LoRALinear":
        """Training forgets the merged weight, which would be out of date with the next step."""
        if mode:
            self.merged = None
        return super().train(mode)


def add_lora(
    model: nn.Module,
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    targets: Sequence[str] = LoRAConfig.targets,
    first_block: int = 0,
) -> None:
    """Replace linear layers of the transformer blocks by their LoRA version, in place.

    Args:
        model: a language model or an encoder.
        rank: of the product.
        alpha: the product is multiplied by `alpha / rank`.
        dropout: of what the adapters read, in training.
        targets: last part of the names of the layers.
        first_block: blocks before it are left alone.

    Raises:
        UnknownNameError: a target is the name of no layer; says which there are.
    """
    for parent, name, layer in _targeted_layers(model, targets, first_block):
        setattr(parent, name, LoRALinear(layer, rank=rank, alpha=alpha, dropout=dropout))


def count_lora_parameters(
    model: nn.Module, *, rank: int, targets: Sequence[str] = LoRAConfig.targets, first_block: int = 0
) -> int:
    """Parameters that `add_lora` would add: rank * (inputs + outputs) a layer.

    Raises:
        UnknownNameError: a target is the name of no layer.
    """
    layers = _targeted_layers(model, targets, first_block)
    return sum(rank * (layer.in_features + layer.out_features) for _, _, layer in layers)


def merge_lora(model: nn.Module) -> None:
    """From now on compute with merged weights: the same output without the extra products.

    The frozen weights stay, for `adapters_disabled`, so the layers take their memory twice. Training undoes it.
    """
    with torch.no_grad():
        for layer in _lora_layers(model):
            layer.merged = None  # of older adapters
            layer.merged = layer.weight


@contextmanager
def adapters_disabled(model: nn.Module) -> Iterator[None]:
    """Within the context the model computes exactly as it did before `add_lora`, merged or not."""
    layers = [layer for layer in _lora_layers(model) if layer.is_enabled]
    for layer in layers:
        layer.is_enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.is_enabled = True


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The trained matrices only, by module name."""
    return {
        f"{name}.{part}": getattr(module, part)
        for name, module in model.named_modules()
        if isinstance(module, LoRALinear)
        for part in ("down", "up")
    }


def _lora_layers(model: nn.Module) -> list[LoRALinear]:
    return [module for module in model.modules() if isinstance(module, LoRALinear)]


def _targeted_layers(
    model: nn.Module, targets: Sequence[str], first_block: int
) -> list[tuple[nn.Module, str, nn.Linear]]:
    """Linear layers in numbered blocks (so not the output head), with their parents and names."""
    layers = [
        (parent, name, layer)
        for path, parent in model.named_modules()
        for block in [next((int(part) for part in path.split(".") if part.isdigit()), -1)]
        if block >= first_block
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Linear)
    ]
    known = {name for _, name, _ in layers}
    for target in targets:
        if target not in known:
            raise UnknownNameError("LoRA target", target, known)
    return [item for item in layers if item[1] in targets]
