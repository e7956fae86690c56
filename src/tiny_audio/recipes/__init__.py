"""Complete training configurations, as functions that return one."""

from collections.abc import Callable

from tiny_audio.errors import UnknownNameError
from tiny_audio.recipes.tiny_audio_base import align, correct
from tiny_audio.training.config import TrainConfig

RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "align": align,
    "correct": correct,
}


def build_recipe(name: str) -> TrainConfig:
    """The configuration of that name.

    Raises:
        UnknownNameError: no such recipe; lists those there are.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]()
