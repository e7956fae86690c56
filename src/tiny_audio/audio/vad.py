"""Find pauses and silence by level alone, without a model.

Good for two jobs: where to cut long audio, and whether there is any point in running the model. It does not tell
speech from music or loud noise.
"""

import numpy as np
from numpy.typing import NDArray

from tiny_audio.audio.timebase import HOP_LENGTH, SAMPLE_RATE
from tiny_audio.types import Seconds, Waveform

_WINDOW_HOPS = 3  # levels are measured over 30 ms: longer than a pitch period, shorter than a syllable
_FLOOR_DB = -100.0  # below the last bit of 16-bit audio; stands for digital silence
_SILENT_DB = -80.0  # three steps of 16-bit audio: dither, not speech
_STEADY_DB = 3.0  # white noise varies by 1.5 dB over 30 s, speech by more than 10 dB
_MIN_RANGE_DB = 6.0  # with less between the quietest and the loud parts there is no pause
_MAX_RANGE_DB = 50.0  # so that a gap of digital silence does not make room noise look like speech
_MIN_STEADY: Seconds = 1.0  # one vowel may be as steady as noise


def frame_levels_db(waveform: Waveform) -> NDArray[np.float32]:
    """Level around each 10 ms hop in dB below full scale, DC removed: `(ceil(num_samples / 160),)`, at least -100."""
    num_hops = -(-len(waveform) // HOP_LENGTH)
    if num_hops == 0:
        return np.zeros(0, np.float32)
    squares = np.zeros(num_hops * HOP_LENGTH, np.float64)
    squares[: len(waveform)] = (waveform - waveform.mean(dtype=np.float64)) ** 2
    hops = squares.reshape(num_hops, HOP_LENGTH).sum(axis=1)
    sizes = np.full(num_hops, float(HOP_LENGTH))
    sizes[-1] = len(waveform) - (num_hops - 1) * HOP_LENGTH
    window = np.ones(_WINDOW_HOPS)
    power = np.convolve(hops, window)[1:-1] / np.convolve(sizes, window)[1:-1]
    return np.maximum(10 * np.log10(power + 1e-20), _FLOOR_DB).astype(np.float32)


def is_silent(waveform: Waveform) -> bool:
    """Whether there is surely no speech: digital silence, dither, or a perfectly steady noise or hum.

    In doubt it is False: quiet speech must reach the model, which has its own word on what is no speech.
    """
    levels = frame_levels_db(waveform)
    if len(levels) == 0 or levels.max() < _SILENT_DB:
        return True
    # The first and last window reach over the border of the waveform, so they say little about steadiness.
    is_long = len(waveform) >= _MIN_STEADY * SAMPLE_RATE
    return bool(is_long and levels[1:-1].max() - np.percentile(levels[1:-1], 10) < _STEADY_DB)


def find_pauses(levels_db: NDArray[np.float32], *, min_duration: Seconds) -> list[tuple[int, int]]:
    """Stretches without speech as (first hop, last hop + 1), each at least `min_duration` long.

    What counts as a pause depends on these levels only: at most 30 % of the way from the noise floor (the quietest
    stretch of `min_duration`) to the loud parts, so quiet recordings and noisy ones are both cut well.
    """
    min_hops = round(min_duration * SAMPLE_RATE / HOP_LENGTH)
    if len(levels_db) < min_hops:
        return []
    power = np.convolve(10 ** (levels_db.astype(np.float64) / 10), np.ones(min_hops) / min_hops, mode="valid")
    loud = np.percentile(levels_db, 95)
    floor = max(10 * np.log10(power.min()), loud - _MAX_RANGE_DB)
    if loud - floor < _MIN_RANGE_DB:
        return []
    is_pause = levels_db < floor + 0.3 * (loud - floor)
    edges = np.flatnonzero(np.diff(is_pause, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2) if end - start >= min_hops]
