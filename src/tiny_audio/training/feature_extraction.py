"""Fill a feature cache: recordings through the frozen encoder, once, with a choice of augmented copies."""

import logging
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from tiny_audio.audio.timebase import samples_to_seconds, seconds_to_samples
from tiny_audio.data.augment import augment, rng_for
from tiny_audio.data.feature_cache import FeatureCacheWriter
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import AudioError, OutputError
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.precision import autocast
from tiny_audio.types import Seconds, Waveform

MAX_BATCH_DURATION: Seconds = 120.0
_SORT_WINDOW = 128
"""Utterances that are sorted by length together: little padding, and little lost when interrupted."""
_PROBE_DURATION: Seconds = 60.0
"""Audio after which the speed is known well enough to say how long the rest takes."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CacheReport:
    """What became of the utterances that were asked for."""

    stored: int
    already_stored: int
    skipped: dict[str, str]
    """Reason for each id that could not be used."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One version of an utterance."""

    utterance: Utterance
    copy: int
    id: str


def cache_features(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    folder: Path,
    *,
    meta: dict[str, object],
    copies: int = 1,
    augmented: bool = False,
    seed: int = 0,
    part: tuple[int, int] = (1, 1),
    announce: Callable[[str], object] = logger.info,
) -> CacheReport:
    """Store the encoder output of `copies` versions of each utterance; continues an interrupted run.

    Args:
        utterances: with ids that are unique.
        encoder: frozen.
        folder: of the cache.
        meta: what made it.
        copies: versions of each utterance.
        augmented: each copy is a different recording of the same words, drawn from (seed, copy, id).
        seed: of these.
        part: number of this process's share, from 1, and how many processes there are.
        announce: gets the size before it starts, and the time as soon as it is known.

    Raises:
        ConfigError: the folder holds a cache made with other settings.
        OutputError: the disk is too small.
    """
    settings = {**meta, "copies": copies, "augmented": augmented, "seed": seed}
    jobs = [
        _Job(utterance=utterance, copy=copy, id=utterance.id if copies == 1 else f"{utterance.id}#{copy}")
        for copy in range(copies)
        for utterance in utterances
    ][part[0] - 1 :: part[1]]
    skipped: dict[str, str] = {}
    with FeatureCacheWriter(folder, meta=settings, dim=encoder.dim, part=part) as writer:
        todo = [job for job in jobs if job.id not in writer.done]
        total = sum(job.utterance.duration for job in todo)
        if todo:
            announce(
                f"{len(todo)} utterances, {total / 3600:.2f} h: {_check_space(todo, encoder, folder) / 1e9:.2f} GB"
            )
        progress = tqdm(total=round(total), unit="s", desc=folder.name, file=sys.stderr, disable=None)
        started, heard, is_announced = time.perf_counter(), 0.0, False
        for window in (todo[start : start + _SORT_WINDOW] for start in range(0, len(todo), _SORT_WINDOW)):
            loaded: list[tuple[_Job, Waveform]] = []
            for job in window:
                try:
                    loaded.append((job, _load(job, encoder.max_samples, seed=seed if augmented else None)))
                except AudioError as error:
                    skipped[job.id] = str(error)
            for batch in _batches(sorted(loaded, key=lambda item: len(item[1]))):
                features_BTD, lengths_B = encode(encoder, [waveform for _, waveform in batch])
                for row_TD, length, (job, waveform) in zip(features_BTD, lengths_B, batch, strict=True):
                    writer.add(
                        row_TD[:length].to(torch.float16).numpy(),
                        id=job.id,
                        duration=samples_to_seconds(len(waveform)),
                        text=job.utterance.text,
                        speaker=job.utterance.speaker,
                        task=job.utterance.task,
                        response=job.utterance.response,
                    )
                heard += sum(job.utterance.duration for job, _ in batch)
                progress.update(round(heard) - progress.n)
                if not is_announced and heard >= _PROBE_DURATION:
                    speed = heard / (time.perf_counter() - started)
                    announce(f"{speed:.1f}x real time: about {(total - heard) / speed / 60:.0f} min more")
                    is_announced = True
        progress.close()
    return CacheReport(stored=len(todo) - len(skipped), already_stored=len(jobs) - len(todo), skipped=skipped)


def _check_space(jobs: Sequence[_Job], encoder: Encoder, folder: Path) -> int:
    """Bytes that the features will take.

    Raises:
        OutputError: more than the disk has.
    """
    num_samples = torch.tensor([seconds_to_samples(job.utterance.duration) for job in jobs])
    needed = int(encoder.output_lengths(num_samples).sum()) * encoder.dim * 2
    free = shutil.disk_usage(folder).free
    if needed > free:
        reason = f"{needed / 1e9:.2f} GB of features, but {free / 1e9:.2f} GB are free; choose another disk"
        raise OutputError(str(folder), reason)
    return needed


def _load(job: _Job, max_samples: int | None, *, seed: int | None) -> Waveform:
    """The samples of a job, another recording of them where there is a seed.

    Raises:
        AudioError: unreadable, shorter than 0.1 s or longer than the encoder takes.
    """
    waveform = load_waveform(job.utterance)
    if max_samples is not None and len(waveform) > max_samples:
        found, limit = samples_to_seconds(len(waveform)), samples_to_seconds(max_samples)
        raise AudioError(f"'{job.utterance.audio}': {found:.2f} s; this encoder takes utterances up to {limit:.0f} s")
    if seed is None:
        return waveform
    # A sample less, since resampling rounds.
    slowest = len(waveform) / (max_samples - 1) if max_samples is not None else 0.0
    return augment(waveform, rng_for(seed, job.copy, job.utterance.id), speed_limits=(slowest, math.inf))


@torch.inference_mode()
def encode(encoder: Encoder, waveforms: Sequence[Waveform]) -> tuple[torch.Tensor, list[int]]:
    """Encoder output `(B, T, D)` in float32 and the valid frames of each row."""
    features, feature_lengths_B = encoder.features(waveforms)
    device = next(encoder.parameters()).device
    with autocast(device):
        output = encoder(features.to(device), feature_lengths_B.to(device))
    return output.last_hidden_state.float().cpu(), output.lengths.tolist()


def _batches(items: list[tuple[_Job, Waveform]]) -> Iterator[list[tuple[_Job, Waveform]]]:
    """Consecutive items whose padded length stays below the maximum."""
    batch: list[tuple[_Job, Waveform]] = []
    for item in items:
        if batch and (len(batch) + 1) * len(item[1]) > seconds_to_samples(MAX_BATCH_DURATION):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
