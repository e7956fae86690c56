"""Steps of training: sets of utterances of similar length, shuffled, limited by seconds, the same for the same seed.

Everything follows from (seed, index of the step): what it holds, how each recording is changed, and which process gets
which rows. So a run continues at any step, and its processes, micro-batches and workers change memory and speed, never
the result.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import DataLoader, Dataset

from tiny_audio.data.augment import AugmentConfig
from tiny_audio.data.batch import Batch, RecordedExample, TrainingExample, Variation, answer_of, collate
from tiny_audio.data.mixing import draw_epoch
from tiny_audio.data.step_plan import EpochPlan, cut_batches, cut_steps, deal, padding_share
from tiny_audio.errors import ConfigError, TinyAudioError
from tiny_audio.types import Seconds

MAX_PADDING = 0.05
"""Of a batch: a step of unequal rows is computed in several pieces rather than as one rectangle full of padding."""
_PLANS_KEPT = 2
"""Workers may be in the next epoch already."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Examples of one corpus."""

    examples: Sequence[TrainingExample]
    weight: float = 1.0
    """How many times an epoch shows each."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one optimizer step learns from, however it is divided into batches."""

    index: int
    """From 0."""
    epoch: int
    seed: int
    """All randomness of the step comes from it."""
    ids: tuple[str, ...]
    """Of all rows; one that is shown twice has a number behind it."""
    labels: tuple[tuple[int, ...], ...]
    """Of all rows."""
    duration: Seconds
    """Seconds of audio in all rows."""
    answers: tuple[tuple[int, ...], ...] | None = None
    """What the language model is to write about all rows, where it is not the labels everywhere."""

    @property
    def num_rows(self) -> int:
        """Utterances."""
        return len(self.ids)

    @property
    def num_labels(self) -> int:
        """Labels of all rows."""
        return sum(map(len, self.labels))

    @property
    def num_answer_labels(self) -> int:
        """Tokens that the language model is to write about all rows, without the ends."""
        return sum(map(len, self.labels if self.answers is None else self.answers))


class StepStream:
    """Endless steps over the examples of one source or several.

    Args:
        sources: what to show.
        max_step_frames: encoder frames of a step, padding included.
        seed: of the run.
        augment: how recorded examples are changed, anew each time they are shown; None: not at all.
        pad_to_frames: batches are padded to a multiple of it, so that a compiled model meets few shapes.

    Raises:
        ConfigError: an epoch would show less than one utterance.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        max_step_frames: int,
        seed: int,
        augment: AugmentConfig | None = None,
        pad_to_frames: int = 1,
    ) -> None:
        self._examples = [example for source in sources for example in source.examples]
        self._sizes = [len(source.examples) for source in sources]
        self._weights = [source.weight for source in sources]
        self._max_step_frames = max_step_frames
        self._seed = seed
        self._augment = augment
        self._pad_to_frames = pad_to_frames
        self._plans: dict[int, EpochPlan] = {}
        self._steps_of_epoch: list[int] = []
        shown = sum(size * weight for size, weight in zip(self._sizes, self._weights, strict=True))
        if shown < 1:
            raise ConfigError([f"an epoch would show {shown:.2g} utterances; raise the weights of the sources"])

    def plan(self, epoch: int) -> EpochPlan:
        """The steps of one epoch."""
        if epoch not in self._plans:
            example_R, showing_R = draw_epoch(self._sizes, self._weights, seed=self._seed, epoch=epoch)
            frames = [self._shown(*row).num_frames for row in zip(example_R.tolist(), showing_R.tolist(), strict=True)]
            steps = cut_steps(
                frames,
                max_step_frames=self._max_step_frames,
                rng=np.random.default_rng((self._seed, epoch)),
                pad_to_frames=self._pad_to_frames,
            )
            plan = EpochPlan(example_R=example_R, showing_R=showing_R, frames_R=np.array(frames), steps=steps)
            self._plans = dict([*self._plans.items(), (epoch, plan)][-_PLANS_KEPT:])
        return self._plans[epoch]

    def steps_per_epoch(self) -> int:
        """Steps of the first epoch; later ones differ by a few."""
        return len(self.plan(0).steps)

    def padding_share(self) -> float:
        """Share of padding in what one process computes in the first epoch."""
        plan = self.plan(0)
        frames = plan.frames_R.tolist()
        batches = [batch for rows in plan.steps for batch in self._cut(rows, frames, max_frames=0)]
        return padding_share(frames, batches, pad_to_frames=self._pad_to_frames)

    def step(self, index: int) -> Step:
        """What step `index` learns from."""
        epoch, plan, rows = self._locate(index)
        examples = self._rows(plan, rows)
        return Step(
            index=index,
            epoch=epoch,
            seed=self._seed * 1_000_003 + index,
            ids=tuple(example.utterance.id for example in examples),
            labels=tuple(example.labels for example in examples),
            duration=sum(example.utterance.duration for example in examples),
            answers=tuple(answer_of(example) for example in examples),
        )

    def micro_batches(self, index: int, *, rank: int = 0, world_size: int = 1, max_frames: int = 0) -> list[Batch]:
        """The batches of one process in a step: together they are the step, each row once.

        Args:
            index: of the step.
            rank: of the process.
            world_size: number of processes; some have no batch where a step has few rows.
            max_frames: padded frames of a batch; a longer row is a batch of its own; 0: any.

        Raises:
            AudioError: a recording cannot be read.
        """
        _, plan, rows = self._locate(index)
        examples = self._rows(plan, rows)
        frames = [int(plan.frames_R[row]) for row in rows]
        own = deal(range(len(rows)), rank=rank, world_size=world_size)
        batches = self._cut(own, frames, max_frames=max_frames)
        return [collate([examples[row] for row in batch], pad_to_frames=self._pad_to_frames) for batch in batches]

    def loader(
        self,
        start: int,
        stop: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        max_frames: int = 0,
        num_workers: int = 0,
    ) -> Iterator[tuple[Step, list[Batch]]]:
        """Steps from `start` to before `stop` with their `micro_batches`, the same for any number of workers.

        Raises:
            AudioError: a recording cannot be read, also where a worker met it.
        """
        steps = _Steps(self, start, stop, rank=rank, world_size=world_size, max_frames=max_frames)
        for item in DataLoader(steps, batch_size=None, num_workers=num_workers):
            if isinstance(item, TinyAudioError):
                raise item
            yield item

    def _cut(self, rows: Sequence[int], frames: Sequence[int], *, max_frames: int) -> list[list[int]]:
        """Batches of a step's rows, which are sorted by length."""
        return cut_batches(
            rows, frames, max_frames=max_frames, max_padding=MAX_PADDING, pad_to_frames=self._pad_to_frames
        )

    def _locate(self, index: int) -> tuple[int, EpochPlan, list[int]]:
        """Epoch of a step, its plan, and the rows of the step."""
        epoch = 0
        while True:
            if epoch == len(self._steps_of_epoch):
                self._steps_of_epoch.append(len(self.plan(epoch).steps))
            if index < self._steps_of_epoch[epoch]:
                plan = self.plan(epoch)
                return epoch, plan, plan.steps[index]
            index -= self._steps_of_epoch[epoch]
            epoch += 1

    def _shown(self, index: int, showing: int) -> TrainingExample:
        """An example as it is the time that it is shown."""
        example = self._examples[index]
        if self._augment is None or not isinstance(example, RecordedExample):
            return example
        return example.varied(
            Variation(config=self._augment, seed=self._seed, showing=showing, id=example.utterance.id)
        )

    def _rows(self, plan: EpochPlan, rows: Sequence[int]) -> list[TrainingExample]:
        """The examples of a step, with ids that are unique in it."""
        examples = []
        times: Counter[str] = Counter()
        for row in rows:
            example = self._shown(int(plan.example_R[row]), int(plan.showing_R[row]))
            name = example.utterance.id
            times[name] += 1
            if times[name] > 1:
                example = example.renamed(f"{name}~{times[name]}")
            examples.append(example)
        return examples


class _Steps(Dataset[tuple[Step, list[Batch]] | TinyAudioError]):
    """A stretch of a stream as a table, which is what a `DataLoader` shares among its workers."""

    def __init__(
        self, stream: StepStream, start: int, stop: int, *, rank: int, world_size: int, max_frames: int
    ) -> None:
        self._stream = stream
        self._start = start
        self._length = max(stop - start, 0)
        self._rank, self._world_size, self._max_frames = rank, world_size, max_frames

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> tuple[Step, list[Batch]] | TinyAudioError:
        index = self._start + position
        try:
            return self._stream.step(index), self._stream.micro_batches(
                index, rank=self._rank, world_size=self._world_size, max_frames=self._max_frames
            )
        except TinyAudioError as error:  # a value: a worker's exceptions arrive as another class, with a traceback
            return error
