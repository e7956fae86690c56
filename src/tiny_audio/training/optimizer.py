"""What is trained at which rate, and how the rate changes with the step."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from tiny_audio.training.config import OptimConfig
from tiny_audio.training.objective import Objective

Schedule = Callable[[int], float]
"""From the number of a step, from 0, to the share of each group's peak rate."""


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Those that get gradients, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def count_trainable(module: nn.Module) -> int:
    """Number of parameters that get gradients."""
    return sum(parameter.numel() for parameter in trained_parameters(module).values())


def build_optimizer(objective: Objective, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with decay on matrices only; each group keeps its own peak rate."""
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in trained_parameters(objective).items():
        # Sharded ones stand apart: one fused update cannot mix them with whole ones.
        kind = (objective.is_main(name), parameter.ndim > 1, isinstance(parameter, DTensor))
        groups.setdefault(kind, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": config.learning_rate if is_main else config.lora_learning_rate,
                "weight_decay": config.weight_decay if is_matrix else 0.0,
            }
            for (is_main, is_matrix, _), parameters in groups.items()
        ],
        betas=(0.9, 0.98),
    )


def cosine_schedule(max_steps: int, config: OptimConfig) -> Schedule:
    """Linear warm-up, then a cosine down to the floor (arXiv 1608.03983, without restarts)."""

    def factor(step: int) -> float:
        warmup = min(1.0, (step + 1) / max(config.warmup_steps, 1))
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / max_steps, 1.0)))
        return warmup * (config.floor + (1 - config.floor) * cosine)

    return factor


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give each group that share of its peak rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], norm: float, max_norm: float) -> None:
    """Scale gradients, whose norm is known, down to at most `max_norm`; 0: leave them."""
    if 0 < max_norm < norm:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(max_norm / norm)
