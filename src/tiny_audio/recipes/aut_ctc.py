"""The encoder of the course's last chapter, trained from scratch: AuT with a CTC head."""

from tiny_audio.recipes.recipe import Recipe
from tiny_audio.training.config import CTCSystem, MaskConfig, OptimConfig, TrainConfig


def aut_tiny_ctc() -> Recipe:
    """The chapter's shape with 256 subword units: characters are too many for 12.5 frames a second."""
    return _recipe("aut_tiny_ctc", "AuT-Tiny with a CTC head, from scratch", CTCSystem(), spans_per_second=0.0)


def aut_small_ctc() -> Recipe:
    """Wider and deeper, with depthwise convolutions; large enough for SpecAugment to help."""
    return _recipe(
        "aut_small_ctc", "AuT-Small with a CTC head, from scratch", CTCSystem(preset="small"), spans_per_second=0.3
    )


def _recipe(name: str, summary: str, model: CTCSystem, *, spans_per_second: float) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        model=model,
        stages={
            "ctc": TrainConfig(
                objective="ctc",
                model=model,
                optim=OptimConfig(learning_rate=2e-3, epochs=20.0, max_batch_duration=160.0),
                mask=MaskConfig(spans_per_second=spans_per_second),
            )
        },
        hardware="2 CPU cores",
    )
