"""The shipped system and one that trains faster: Whisper base, aligned projector, SmolLM2-135M-Instruct."""

from dataclasses import replace

from tiny_audio.models.asr_config import (
    ASRConfig,
    EncoderConfig,
    LLMConfig,
    LoRAConfig,
    ProjectorConfig,
)
from tiny_audio.recipes.recipe import Recipe
from tiny_audio.training.config import OptimConfig, TrainConfig

_ENCODER_LINEARS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def tiny_audio_base() -> Recipe:
    """CTC on the projector over the language model's vocabulary first, then adapters that correct its drafts."""
    return _recipe(
        "tiny_audio_base",
        "Whisper base, aligned projector, SmolLM2-135M with LoRA: trains on a CPU",
        ASRConfig(llm=LLMConfig(training="lora", lora=LoRAConfig())),
        hardware="2 CPU cores and 8 GB: align in minutes, correct in about an hour",
    )


def tiny_audio_base_adapted() -> Recipe:
    """The shipped one: the same, with adapters in the encoder's last two blocks, made for Whisper's own decoder.

    What the four blocks before them give is stored; smaller adapters in the language model keep the checkpoint small.
    The CTC compares tokens by their spelling too.
    """
    adapters = LoRAConfig(rank=64, alpha=64.0, targets=_ENCODER_LINEARS, first_block=4)
    llm = LLMConfig(training="lora", lora=LoRAConfig(rank=8, alpha=16.0))
    return _recipe(
        "tiny_audio_base_adapted",
        "tiny_audio_base with LoRA in two blocks of the encoder, and spellings: slower training",
        ASRConfig(encoder=EncoderConfig(lora=adapters), projector=ProjectorConfig(spelling_dim=192), llm=llm),
        hardware="2 CPU cores and 8 GB: align in about an hour",
    )


def _recipe(name: str, summary: str, model: ASRConfig, *, hardware: str) -> Recipe:
    aligned = replace(model, llm=LLMConfig(), draft_only=True)
    return Recipe(
        name=name,
        summary=summary,
        model=model,
        stages={
            "align": TrainConfig(objective="align", model=aligned),
            "correct": TrainConfig(
                objective="correct",
                model=model,
                optim=OptimConfig(learning_rate=1e-4, lora_learning_rate=3e-4, epochs=1.0, max_batch_duration=80.0),
            ),
            "characters": TrainConfig(
                objective="characters",
                model=model,
                optim=OptimConfig(learning_rate=2e-3, warmup_steps=100, max_steps=7500, max_batch_duration=120.0),
            ),
            "describe": TrainConfig(
                objective="describe",
                model=model,
                optim=OptimConfig(learning_rate=2e-2, warmup_steps=20, max_steps=600, max_batch_duration=640.0),
            ),
        },
        hardware=hardware,
    )
