"""Batches of utterances: shuffled, of similar length, limited by seconds, the same for the same seed.

The plan of an epoch follows from (seed, epoch) alone, so a position in the stream is just a number of batches:
resuming continues with exactly the batch that would have come next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tiny_audio.data.feature_cache import CachedUtterance, FeatureCache
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.types import Seconds, Waveform

_BUCKET_WINDOW = 1024
"""Utterances sorted by length together before cutting into batches: random enough, and little padding."""


@dataclass(frozen=True, kw_only=True)
class CachedExample:
    """An utterance of a cache with its labels."""

    cache: FeatureCache
    utterance: CachedUtterance
    labels: tuple[int, ...]
    """Token ids of the transcript."""

    @property
    def num_frames(self) -> int:
        """Encoder frames."""
        return self.utterance.num_frames


@dataclass(frozen=True, kw_only=True)
class RecordedExample:
    """An utterance of a manifest with its labels, for training the encoder too."""

    utterance: Utterance
    num_frames: int
    """Encoder frames."""
    labels: tuple[int, ...]


TrainingExample = CachedExample | RecordedExample


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded encoder features (or else waveforms) and the labels of each row."""

    features_BTD: Tensor
    lengths_B: Tensor
    """Encoder frames of each row."""
    labels: list[list[int]]
    references: list[str]
    ids: list[str]
    duration: Seconds
    """Seconds of audio in all rows, without padding."""
    waveforms: tuple[Waveform, ...] = ()
    """Where the encoder is trained: its input, 16 kHz, instead of its output."""


def collate(examples: Sequence[TrainingExample]) -> Batch:
    """Pad the features of `examples` with zeros to the longest; of recorded examples, load the waveforms."""
    lengths_B = torch.tensor([example.num_frames for example in examples])
    cached = [example for example in examples if isinstance(example, CachedExample)]
    features_BTD = torch.zeros(len(cached), int(lengths_B.max()), cached[0].cache.dim if cached else 0)
    for row, example in zip(features_BTD, cached, strict=True):
        features = example.cache.features(example.utterance)
        row[: len(features)] = torch.from_numpy(features.astype(np.float32))
    return Batch(
        features_BTD=features_BTD,
        lengths_B=lengths_B,
        labels=[list(example.labels) for example in examples],
        references=[example.utterance.text for example in examples],
        ids=[example.utterance.id for example in examples],
        duration=sum(example.utterance.duration for example in examples),
        waveforms=tuple(load_waveform(item.utterance) for item in examples if isinstance(item, RecordedExample)),
    )


def plan_epoch(frames: Sequence[int], *, max_batch_frames: int, seed: int, epoch: int) -> list[list[int]]:
    """Which utterances form which batch: every index once, similar lengths together, batches in random order.

    Args:
        frames: encoder frames of each utterance.
        max_batch_frames: frames of a batch including padding; a longer utterance is a batch of its own.
        seed: of the run.
        epoch: number of the pass over the data.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(frames))
    batches: list[list[int]] = []
    for start in range(0, len(order), _BUCKET_WINDOW):
        window = sorted(order[start : start + _BUCKET_WINDOW].tolist(), key=lambda index: frames[index])
        batch: list[int] = []
        for index in window:
            if batch and (len(batch) + 1) * frames[index] > max_batch_frames:
                batches.append(batch)
                batch = []
            batch.append(index)
        batches.append(batch)
    return [batches[position] for position in rng.permutation(len(batches))]


def padding_share(frames: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of padded frames among all frames computed."""
    computed = sum(len(batch) * max(frames[index] for index in batch) for batch in batches)
    return 1.0 - sum(frames[index] for batch in batches for index in batch) / computed


class BatchStream:
    """Endless batches; `position` counts those delivered and can be set to continue an interrupted run."""

    def __init__(self, examples: Sequence[TrainingExample], *, max_batch_frames: int, seed: int) -> None:
        self._examples = examples
        self._frames = [example.num_frames for example in examples]
        self._max_batch_frames = max_batch_frames
        self._seed = seed
        self.position = 0

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of one epoch, as indices of the examples."""
        return plan_epoch(self._frames, max_batch_frames=self._max_batch_frames, seed=self._seed, epoch=epoch)

    def batches_per_epoch(self) -> int:
        """Batches of the first epoch; later ones differ by a few."""
        return len(self.plan(0))

    def padding_share(self) -> float:
        """Share of padding in the first epoch."""
        return padding_share(self._frames, self.plan(0))

    def __iter__(self) -> Iterator[Batch]:
        epoch, before = 0, 0
        while True:
            plan = self.plan(epoch)
            while self.position < before + len(plan):
                batch = plan[self.position - before]
                self.position += 1
                yield collate([self._examples[index] for index in batch])
            before += len(plan)
            epoch += 1
