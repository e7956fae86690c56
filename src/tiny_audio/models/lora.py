"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) on the linear layers of a frozen model."""

import math

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A frozen linear layer plus `alpha / rank` times a trained product of two thin matrices; zero at the start."""

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Parameter(torch.empty(rank, base.in_features, dtype=torch.float32))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, dtype=torch.float32))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, hidden: Tensor) -> Tensor:
        """`(..., in)` to `(..., out)`."""
        return self.base(hidden) + ((self.dropout(hidden) @ self.down.T) @ self.up.T) * self.scale

    def merged(self) -> nn.Linear:
        """The frozen layer with the product folded in: it computes the same, and this module is of no more use."""
        with torch.no_grad():
            weight = torch.addmm(self.base.weight, self.up, self.down, alpha=self.scale)
        self.base.weight = nn.Parameter(weight, requires_grad=False)
        return self.base


def add_lora(model: nn.Module, *, rank: int, alpha: float, dropout: float = 0.0) -> None:
    """Replace every linear layer of the transformer blocks (not the output head) by its LoRA version, in place."""
    for parent, name, layer in _linear_layers(model, nn.Linear):
        assert isinstance(layer, nn.Linear)
        setattr(parent, name, LoRALinear(layer, rank=rank, alpha=alpha, dropout=dropout))


def merge_lora(model: nn.Module) -> None:
    """Fold the adapters into plain linear layers, in place: the same output without the extra products."""
    for parent, name, layer in _linear_layers(model, LoRALinear):
        assert isinstance(layer, LoRALinear)
        setattr(parent, name, layer.merged())


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The trained matrices only, by module name."""
    return {
        f"{name}.{part}": getattr(module, part)
        for name, module in model.named_modules()
        if isinstance(module, LoRALinear)
        for part in ("down", "up")
    }


def _linear_layers(model: nn.Module, kind: type[nn.Module]) -> list[tuple[nn.Module, str, nn.Module]]:
    return [
        (parent, name, layer)
        for path, parent in list(model.named_modules())
        for name, layer in parent.named_children()
        if isinstance(layer, kind) and name != "lm_head" and not path.endswith(".base")
    ]
