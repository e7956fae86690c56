"""Complete systems, as functions that return one."""

from collections.abc import Callable

from tiny_audio.errors import UnknownNameError
from tiny_audio.recipes.aut_ctc import aut_small_ctc, aut_tiny_ctc
from tiny_audio.recipes.hubert_xlarge_swiglu_qwen3_8b import hubert_xlarge_swiglu_qwen3_8b
from tiny_audio.recipes.recipe import Recipe
from tiny_audio.recipes.tiny_audio_base import tiny_audio_base, tiny_audio_base_adapted
from tiny_audio.recipes.whisper_smollm3 import whisper_stack5_smollm3, whisper_turbo_conv_smollm3

RECIPES: dict[str, Callable[[], Recipe]] = {
    "tiny_audio_base": tiny_audio_base,
    "tiny_audio_base_adapted": tiny_audio_base_adapted,
    "whisper_turbo_conv_smollm3": whisper_turbo_conv_smollm3,
    "whisper_stack5_smollm3": whisper_stack5_smollm3,
    "hubert_xlarge_swiglu_qwen3_8b": hubert_xlarge_swiglu_qwen3_8b,
    "aut_tiny_ctc": aut_tiny_ctc,
    "aut_small_ctc": aut_small_ctc,
}


def build_recipe(name: str) -> Recipe:
    """The system of that name.

    Raises:
        UnknownNameError: no such recipe; lists those there are.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]()
