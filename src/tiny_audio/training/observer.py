"""Who watches a run, such as a progress display or a tracker."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiny_audio.training.config import TrainConfig
from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What is known before the first step."""

    folder: Path
    config: TrainConfig
    first_step: int
    """Steps that are done already, in a run that continues."""
    max_steps: int
    steps_per_epoch: int
    epoch_duration: Seconds
    """Audio of an epoch."""
    trained_parameters: int
    processes: int


class Observer:
    """Does nothing; subclasses watch what they want to. Only the first process has observers."""

    def on_start(self, context: RunContext) -> None:
        """Before the first step."""

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """After each step.

        Args:
            step: steps done.
            metrics: of this step, over all processes: `loss` and its parts, `grad_norm` and that of each part
                (`grad_norm/projector`), `learning_rate`, `audio_duration` (seconds of audio in the step), `step_time`
                and `wait_time` (seconds it took, and of these waiting for data), `audio_seconds_per_second`.
        """

    def on_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """After each validation: `wer/SET` and, of a model with drafts, `draft_wer/SET`; fractions."""

    def on_end(self) -> None:
        """After the last step, an error or an interruption."""
