"""The encoder of the course's last chapter, trained from scratch: AuT with a CTC head."""

from typing import Literal

from tiny_audio.recipes.recipe import Recipe
from tiny_audio.training.config import CTCLossConfig, CTCSystem, OptimConfig, TrainConfig


def aut_tiny_ctc() -> Recipe:
    """The chapter's shape with 256 subword units: characters are too many for 12.5 frames a second."""
    return _recipe("aut_tiny_ctc", "AuT-Tiny with a CTC head, from scratch", CTCSystem(), spec_augment="off")


def aut_small_ctc() -> Recipe:
    """Wider and deeper, with depthwise convolutions; large enough for SpecAugment to help."""
    return _recipe(
        "aut_small_ctc", "AuT-Small with a CTC head, from scratch", CTCSystem(preset="small"), spec_augment="full"
    )


def _recipe(name: str, summary: str, model: CTCSystem, *, spec_augment: Literal["off", "mild", "full"]) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        model=model,
        stages={
            "ctc": TrainConfig(
                objective="ctc",
                model=model,
                optim=OptimConfig(
                    learning_rate=2e-3,
                    warmup_steps=500,
                    floor=0.01,
                    epochs=25.0,
                    max_batch_duration=80.0,
                    ema_decay=0.999,
                ),
                ctc=CTCLossConfig(spec_augment=spec_augment),
            )
        },
        hardware="2 CPU cores",
    )
