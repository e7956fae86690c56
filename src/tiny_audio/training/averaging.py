"""An exponential moving average of trained weights: smoother than the last step's, and often better."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_WARM_UP = 10


class WeightAverage:
    """Keeps `decay * average + (1 - decay) * weights`; young averages forget faster, or they would keep the start.

    Args:
        parameters: the trained ones.
        decay: below 1; 0: there is no average, and all of this does nothing.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self._parameters = list(parameters) if decay else []
        self._averages = [parameter.detach().clone() for parameter in self._parameters]
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of a step."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (_WARM_UP + self._updates))
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            average.lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The model has the average for weights, to validate or to save it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Any]:
        """To continue from."""
        return {"averages": self._averages, "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy a `state_dict`."""
        self._updates = state["updates"]
        for average, found in zip(self._averages, state["averages"], strict=True):
            average.copy_(found)

    @torch.no_grad()
    def _swap(self) -> None:
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
