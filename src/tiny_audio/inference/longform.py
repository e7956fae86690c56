"""Cut long audio at pauses into chunks that the encoder can hear at once.

The chunks cover the audio without gap or overlap, so nothing is lost or heard twice, and each knows its real first
sample, so times do not drift.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tiny_audio.audio.timebase import HOP_LENGTH, MAX_CHUNK, SAMPLE_RATE, samples_to_seconds, seconds_to_samples
from tiny_audio.audio.vad import find_pauses, frame_levels_db
from tiny_audio.types import Seconds, Waveform

_MIN_PAUSE: Seconds = 0.2  # shorter ones are the closures of p, t and k
_QUIET_WINDOW: Seconds = 0.3  # without a pause, cut in the middle of the quietest stretch of this length


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One piece of the audio, `[start_sample, end_sample)` at 16 kHz."""

    start_sample: int
    end_sample: int

    @property
    def start(self) -> Seconds:
        """When it starts."""
        return samples_to_seconds(self.start_sample)

    @property
    def end(self) -> Seconds:
        """When it ends."""
        return samples_to_seconds(self.end_sample)

    def of(self, waveform: Waveform) -> Waveform:
        """Its samples."""
        return waveform[self.start_sample : self.end_sample]


def plan_chunks(waveform: Waveform, max_chunk: Seconds = MAX_CHUNK) -> list[Chunk]:
    """Chunks of at most `max_chunk` that cover the waveform; one chunk if it is short enough.

    Each cut lies in the longest pause between one third and 14/15 of `max_chunk` (10 and 28 s of 30 s), so that no
    chunk is too short to give the language model a context.
    """
    max_samples = seconds_to_samples(max_chunk)
    cuts = [0]
    while len(waveform) - cuts[-1] > max_samples:
        first, last = max_samples // 3, max_samples * 14 // 15
        region = waveform[cuts[-1] + first : cuts[-1] + last]
        cuts.append(cuts[-1] + first + _best_cut(region))
    cuts.append(len(waveform))
    return [Chunk(start_sample=start, end_sample=end) for start, end in pairwise(cuts)]


def _best_cut(region: Waveform) -> int:
    """Sample in the middle of the longest pause, or of the quietest stretch."""
    levels = frame_levels_db(region)
    pauses = find_pauses(levels, min_duration=_MIN_PAUSE)
    if pauses:
        start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
        return min((start + end) * HOP_LENGTH // 2, len(region))
    num_hops = round(_QUIET_WINDOW * SAMPLE_RATE / HOP_LENGTH)
    if len(levels) < num_hops:
        return len(region) // 2
    power = np.convolve(10 ** (levels / 10), np.ones(num_hops), mode="valid")
    return (int(np.argmin(power)) + num_hops // 2) * HOP_LENGTH
