"""What the recordings of utterances say of themselves: length, silence, clipping, and a digest to find copies by."""

import contextlib
import hashlib
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiny_audio.audio.io import load_audio
from tiny_audio.audio.timebase import samples_to_seconds
from tiny_audio.audio.vad import is_silent
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import cut_waveform
from tiny_audio.data.tar_members import open_recording
from tiny_audio.errors import AudioError
from tiny_audio.types import Seconds, Waveform

_FULL_SCALE = 0.999
_CLIPPED_RUN = 3  # samples at full scale side by side: one may be the peak of a normalised recording


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """What the recording of an utterance says."""

    problem: str = ""
    """Why it cannot be used; what is below `recording` then says nothing."""
    recording: Seconds = 0.0
    """Length of the whole recording; 0 if that cannot be read."""
    duration: Seconds = 0.0
    """Length of the utterance, as training would hear it."""
    is_silent: bool = False
    clipped_share: float = 0.0
    digest: bytes = b""
    """Of the utterance's samples."""


def measure(
    utterances: Sequence[Utterance], *, workers: int = 1, progress: Callable[[int], object] = lambda _: None
) -> list[AudioFacts]:
    """Listen to each recording once, however many utterances it holds; facts in the given order."""
    indices: defaultdict[Path, list[int]] = defaultdict(list)
    for index, utterance in enumerate(utterances):
        indices[utterance.audio].append(index)
    groups = [[utterances[index] for index in rows] for rows in indices.values()]
    facts = [AudioFacts()] * len(utterances)
    with contextlib.ExitStack() as stack:
        heard: Iterable[list[AudioFacts]] = map(_measure_recording, groups)
        if workers > 1:  # processes: the decoders hold Python's lock
            pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
            stack.callback(pool.shutdown, cancel_futures=True)
            heard = pool.map(_measure_recording, groups, chunksize=8)
        for rows, found in zip(indices.values(), heard, strict=True):
            for index, fact in zip(rows, found, strict=True):
                facts[index] = fact
            progress(len(rows))
    return facts


def _measure_recording(utterances: Sequence[Utterance]) -> list[AudioFacts]:
    """Facts about the utterances of one recording."""
    try:
        waveform = load_audio(open_recording(utterances[0].audio))
    except AudioError as error:
        return [AudioFacts(problem=str(error))] * len(utterances)
    facts = []
    recording = samples_to_seconds(len(waveform))
    for utterance in utterances:
        try:
            part = cut_waveform(waveform, utterance)
        except AudioError as error:
            facts.append(AudioFacts(problem=str(error), recording=recording))
            continue
        facts.append(
            AudioFacts(
                recording=recording,
                duration=samples_to_seconds(len(part)),
                is_silent=is_silent(part),
                clipped_share=_clipped_share(part),
                digest=hashlib.blake2b(part.tobytes(), digest_size=16).digest(),
            )
        )
    return facts


def _clipped_share(waveform: Waveform) -> float:
    """Share of the samples that lie at full scale, several side by side."""
    is_full = np.abs(waveform) >= _FULL_SCALE
    edges = np.flatnonzero(np.diff(is_full, prepend=False, append=False)).reshape(-1, 2)
    runs = edges[:, 1] - edges[:, 0]
    return float(runs[runs >= _CLIPPED_RUN].sum()) / len(waveform)
