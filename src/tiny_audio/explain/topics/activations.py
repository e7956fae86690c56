"""Activation functions, plain and gated (arXiv 2002.05202): zeros, range, and how much gradient is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": F.relu,
    "GELU": F.gelu,
    "SiLU/Swish": F.silu,
    "Tanh": torch.tanh,
}
GATED: dict[str, Callable[[Tensor], Tensor]] = {
    "GLU": torch.sigmoid,
    "ReGLU": F.relu,
    "GeGLU": F.gelu,
    "SwiGLU": F.silu,
}
"""Function of the gate, by which the other half is multiplied."""
_SHAPE = (1, 30, 8192)
"""The chapter's: 30 audio tokens in the projector's hidden width."""
_DRAWN = 4.0


@dataclass(frozen=True, kw_only=True)
class Activation:
    """One function on noise of mean 0 and variance 1."""

    name: str
    sparsity: float
    """Share of outputs that are exactly zero."""
    value_range: float
    mean: float
    std: float
    gradient: float
    """Root mean square of the gradient with respect to the input."""


def measure(*, seed: int = 0) -> list[Activation]:
    """All functions on the same noise; gated ones get noise of their own for the gate."""
    generator = torch.Generator().manual_seed(seed)
    x, gate = torch.randn(_SHAPE, generator=generator), torch.randn(_SHAPE, generator=generator)
    functions = PLAIN | {name: _gated_by(function(gate)) for name, function in GATED.items()}
    return [_measure(name, function, x) for name, function in functions.items()]


def _gated_by(gate: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda value: gate * value


def _measure(name: str, function: Callable[[Tensor], Tensor], x: Tensor) -> Activation:
    given = x.clone().requires_grad_()
    output = function(given)
    (gradient,) = torch.autograd.grad(output.sum(), given)
    output = output.detach()
    return Activation(
        name=name,
        sparsity=(output == 0).float().mean().item(),
        value_range=(output.max() - output.min()).item(),
        mean=output.mean().item(),
        std=output.std().item(),
        gradient=gradient.square().mean().sqrt().item(),
    )


def explore(request: Request) -> Findings:
    """The chapter's table, the gated variants of its homework, and the gradient."""
    found = measure()
    rows = [
        [
            one.name,
            f"{one.sparsity:.2%}",
            f"{one.value_range:.2f}",
            f"{one.mean:z.4f}",
            f"{one.std:.4f}",
            f"{one.gradient:.3f}",
        ]
        for one in found
    ]
    text = "\n".join(
        [
            headline(f"ACTIVATIONS ON NOISE OF SHAPE {list(_SHAPE)}"),
            table(["Function", "Zeros", "Range", "Mean", "Std", "Gradient (RMS)"], rows),
            "",
            note(
                "only ReLU and ReGLU give true zeros. The gradient is that of the value, not of the gate; noise says"
                " nothing about which one learns best."
            ),
        ]
    )
    return Findings(text=text, pictures={"activations": draw_curves()})


def draw_curves() -> Draw:
    """The plain functions, and what they do to the gradient."""
    x = torch.linspace(-_DRAWN, _DRAWN, 401)
    slopes: list[Sequence[float]] = []
    for function in PLAIN.values():
        given = x.clone().requires_grad_()
        slopes.append(torch.autograd.grad(function(given).sum(), given)[0].tolist())

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(11, 4)
        left, right = figure.subplots(1, 2)
        for (name, function), slope in zip(PLAIN.items(), slopes, strict=True):
            left.plot(x.numpy(), function(x).numpy(), label=name)
            right.plot(x.numpy(), slope, label=name)
        left.set(title="Output", xlabel="Input", ylim=(-1.5, _DRAWN))
        right.set(title="Gradient", xlabel="Input")
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.legend()

    return draw
