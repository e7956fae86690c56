"""Fill a feature cache: recordings through the frozen encoder, once, with a choice of augmented copies."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from tiny_audio.audio.timebase import MAX_CHUNK, samples_to_seconds, seconds_to_samples
from tiny_audio.data.augment import augment, rng_for
from tiny_audio.data.feature_cache import FeatureCacheWriter
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import AudioError
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.precision import autocast
from tiny_audio.types import Seconds, Waveform

MAX_BATCH_DURATION: Seconds = 120.0
_SORT_WINDOW = 128
"""Utterances that are sorted by length together: little padding, and little lost when interrupted."""


@dataclass(frozen=True, kw_only=True)
class CacheReport:
    """What became of the utterances that were asked for."""

    stored: int
    already_stored: int
    skipped: dict[str, str]
    """Reason for each id that could not be used."""


def cache_features(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    folder: Path,
    *,
    meta: dict[str, object],
    copies: int = 1,
    augmented: bool = False,
    seed: int = 0,
) -> CacheReport:
    """Store the encoder output of `copies` versions of each utterance; continues an interrupted run.

    With `augmented`, each copy is a different recording of the same words, drawn from (seed, copy, id).
    """
    settings = {**meta, "copies": copies, "augmented": augmented, "seed": seed}
    jobs = [
        (utterance, copy, utterance.id if copies == 1 else f"{utterance.id}#{copy}")
        for copy in range(copies)
        for utterance in utterances
    ]
    skipped: dict[str, str] = {}
    with FeatureCacheWriter(folder, meta=settings, dim=encoder.dim) as writer:
        todo = [job for job in jobs if job[2] not in writer.done]
        total = sum(utterance.duration for utterance, _, _ in todo)
        progress = tqdm(total=round(total), unit="s", desc=folder.name, file=sys.stderr, disable=None)
        for window in (todo[start : start + _SORT_WINDOW] for start in range(0, len(todo), _SORT_WINDOW)):
            loaded: list[tuple[str, Utterance, Waveform]] = []
            for utterance, copy, cache_id in window:
                try:
                    waveform = load_short(utterance)
                except AudioError as error:
                    skipped[cache_id] = str(error)
                    continue
                if augmented:
                    waveform = augment(waveform, rng_for(seed, copy, utterance.id))[: seconds_to_samples(MAX_CHUNK)]
                loaded.append((cache_id, utterance, waveform))
            for batch in _batches(sorted(loaded, key=lambda item: len(item[2]))):
                features_BTD, lengths_B = encode(encoder, [waveform for _, _, waveform in batch])
                for row, length, (cache_id, utterance, waveform) in zip(features_BTD, lengths_B, batch, strict=True):
                    writer.add(
                        row[:length].to(torch.float16).numpy(),
                        id=cache_id,
                        duration=samples_to_seconds(len(waveform)),
                        text=utterance.text,
                        speaker=utterance.speaker,
                    )
            progress.update(round(sum(utterance.duration for utterance, _, _ in window)))
        progress.close()
    return CacheReport(stored=len(todo) - len(skipped), already_stored=len(jobs) - len(todo), skipped=skipped)


def load_short(utterance: Utterance) -> Waveform:
    """The utterance's samples.

    Raises:
        AudioError: unreadable, shorter than 0.1 s or longer than 30 s.
    """
    waveform = load_waveform(utterance)
    if len(waveform) > seconds_to_samples(MAX_CHUNK):
        duration = samples_to_seconds(len(waveform))
        raise AudioError(f"'{utterance.audio}': {duration:.2f} s; training takes utterances up to {MAX_CHUNK:.0f} s")
    return waveform


@torch.inference_mode()
def encode(encoder: Encoder, waveforms: Sequence[Waveform]) -> tuple[torch.Tensor, list[int]]:
    """Encoder output `(B, T, D)` in float32 and the valid frames of each row."""
    features, feature_lengths_B = encoder.features(waveforms)
    device = next(encoder.parameters()).device
    with autocast(device):
        output = encoder(features.to(device), feature_lengths_B.to(device))
    return output.last_hidden_state.float().cpu(), output.lengths.tolist()


def _batches(
    items: list[tuple[str, Utterance, Waveform]],
) -> Iterator[list[tuple[str, Utterance, Waveform]]]:
    """Consecutive items whose padded length stays below the maximum."""
    batch: list[tuple[str, Utterance, Waveform]] = []
    for item in items:
        if batch and (len(batch) + 1) * len(item[2]) > seconds_to_samples(MAX_BATCH_DURATION):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
