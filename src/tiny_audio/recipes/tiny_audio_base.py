"""The two stages of `tiny-audio-base`: Whisper-base encoder, aligned projector, SmolLM2-135M-Instruct."""

from tiny_audio.models.asr_config import LoRAConfig
from tiny_audio.training.config import OptimConfig, TrainConfig


def align() -> TrainConfig:
    """CTC on the projector over the language model's vocabulary; no language model in memory."""
    return TrainConfig(objective="align")


def correct() -> TrainConfig:
    """Adapters in the language model, and the projector through its loss; starts from an `align` checkpoint."""
    return TrainConfig(
        objective="correct",
        lora=LoRAConfig(),
        optim=OptimConfig(learning_rate=1e-4, lora_learning_rate=3e-4, epochs=1.0, max_batch_duration=80.0),
    )
