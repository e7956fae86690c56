"""Loss and gradients of a process's part of a step, in pieces that fit its memory."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from accelerate.utils.memory import should_reduce_batch_size

from tiny_audio.data.batch import Batch
from tiny_audio.data.stream import Step
from tiny_audio.errors import TrainingError
from tiny_audio.training.objective import Objective, StepOutput, row_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StepShare:
    """What a process has of a step, beside the gradients."""

    metrics: Mapping[str, float]
    """Its share of them."""
    bad_ids: Sequence[str]
    """Utterances whose loss is not finite."""


class StepComputer:
    """Computes shares of steps.

    Args:
        objective: what is trained.
        autocast: gives the context that a forward pass runs in.
        scaler: of the loss, where gradients are in half precision; does nothing otherwise.
        in_concert: whether all processes compute their batches together, layer by layer (FSDP), so that none may have
            more of them than another.

    Attributes:
        max_frames: padded frames that fit the memory, learnt from a batch that did not; 0: all have fitted.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        autocast: Callable[[], AbstractContextManager[object]],
        scaler: torch.amp.GradScaler,
        in_concert: bool = False,
    ) -> None:
        self._objective = objective
        self._autocast = autocast
        self._scaler = scaler
        self._in_concert = in_concert
        self.max_frames = 0

    def compute(self, step: Step, batches: Sequence[Batch], idle: Sequence[Batch] = ()) -> StepShare:
        """Leave the gradients of these rows in the parameters.

        Args:
            step: that the rows belong to.
            batches: this process's.
            idle: computed too, without any effect, to keep step with the others.

        Raises:
            TrainingError: a single utterance does not fit the memory.
        """
        pieces = [(piece, 1.0) for batch in batches for piece in self._divide(batch)]
        metrics: defaultdict[str, float] = defaultdict(float)
        bad_ids: list[str] = []
        self._objective.zero_grad(set_to_none=True)
        with self._autocast():
            self._objective.begin_step(step)
        for piece, weight in [*pieces, *((batch, 0.0) for batch in idle)]:
            too_large = False
            try:
                output = self._forward(step, piece)
                self._scaler.scale(output.loss * weight).backward()
            except RuntimeError as error:
                if not (isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)):
                    raise
                too_large = True
            if too_large:  # only now has the exception let go of what it held
                self._halve(piece)
                # Some of this piece's gradients may be there already, so the share is computed anew.
                return self.compute(step, batches)
            if not output.loss.isfinite():
                bad_ids += self._not_finite(step, piece)
            for name, value in output.metrics.items():
                metrics[name] += weight * value
        self._objective.end_step()
        return StepShare(metrics=metrics, bad_ids=bad_ids)

    def _forward(self, step: Step, batch: Batch) -> StepOutput:
        torch.manual_seed(row_seed(step.seed, batch.ids[0]))  # for dropout
        with self._autocast():
            output: StepOutput = self._objective(batch, step)
        return output

    def _divide(self, batch: Batch) -> Iterator[Batch]:
        if self.max_frames and _padded_frames(batch) > self.max_frames and len(batch.ids) > 1:
            for half in batch.halves():
                yield from self._divide(half)
        else:
            yield batch

    def _halve(self, batch: Batch) -> None:
        if self._in_concert:
            raise TrainingError("out of memory; lower optim.max_micro_batch_duration, or run more processes")
        if len(batch.ids) == 1:
            raise TrainingError(
                f"out of memory with the single utterance '{batch.ids[0]}' ({batch.duration:.1f} s);"
                " set data.max_duration and data.on_overflow=drop, or train a smaller model"
            )
        if self._objective.device.type == "cuda":
            torch.cuda.empty_cache()
        self.max_frames = _padded_frames(batch) // 2
        logger.warning(
            "out of memory with %d utterances at once; from now on at most %.1f s of audio, padding included",
            len(batch.ids),
            self.max_frames / self._objective.frame_rate,
        )

    @torch.no_grad()
    def _not_finite(self, step: Step, batch: Batch) -> Sequence[str]:
        """The rows to blame; all of them where none is to blame alone."""
        if self._in_concert or len(batch.ids) == 1:
            return batch.ids
        bad = (half for half in batch.halves() if not self._forward(step, half).loss.isfinite())
        return [row for half in bad for row in self._not_finite(step, half)] or batch.ids


def _padded_frames(batch: Batch) -> int:
    return len(batch.ids) * batch.features_BTD.shape[1]
