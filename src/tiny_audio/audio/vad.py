"""Where there is speech: what a detector is, when its answer counts as speech, and detectors by level alone.

Levels tell pauses and silence from sound, not speech from music or loud noise; `audio.silero` does.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from tiny_audio.audio.timebase import HOP_LENGTH, MAX_CHUNK, SAMPLE_RATE
from tiny_audio.errors import ConfigError
from tiny_audio.types import Seconds, Waveform

FRAME_SAMPLES = 512
"""Samples that a detector judges at once: 32 ms."""
VadKind = Literal["auto", "silero", "energy", "none"]
VAD_KINDS: tuple[VadKind, ...] = get_args(VadKind)
"""auto: silero where its file can be had, else energy. none: everything is speech."""

_WINDOW_HOPS = 3  # levels are measured over 30 ms: longer than a pitch period, shorter than a syllable
_FLOOR_DB = -100.0  # below the last bit of 16-bit audio; stands for digital silence
_SILENT_DB = -80.0  # three steps of 16-bit audio: dither, not speech
_STEADY_DB = 3.0  # white noise varies by 1.5 dB over 30 s, speech by more than 10 dB
_MIN_RANGE_DB = 6.0  # with less between the quietest and the loud parts there is no pause
_MAX_RANGE_DB = 50.0  # so that a gap of digital silence does not make room noise look like speech
_MIN_STEADY: Seconds = 1.0  # one vowel may be as steady as noise
_PAUSE_SHARE = 0.3  # of the way from the floor to the loud parts: quieter than that is a pause
_FLOOR_FRAMES = 6  # the floor is the quietest stretch of 0.2 s; shorter ones are the closures of p, t and k
_MEMORY_FRAMES = 312  # levels of the last 10 s say what is loud here; nobody speaks longer without a breath


@dataclass(frozen=True, kw_only=True)
class VadOptions:
    """When probabilities of a detector become speech to transcribe; names and units are those of faster-whisper.

    Only silence of at least `min_silence_duration_ms` is left out, and of it `speech_pad_ms` stay on either side, so a
    clip with short pauses is heard whole. More than faster-whisper's 400 ms stay: models that were trained on whole
    recordings hear noisy ones worse without what surrounds the words (`experiments/LOG.md`). The
    times of a segment take in 0.4 s of it at most.
    """

    kind: VadKind = "auto"
    threshold: float = 0.5
    """Speech begins at this probability,"""
    neg_threshold: float | None = None
    """and ends below this one; 0.15 less than `threshold` by default."""
    min_speech_duration_ms: int = 0
    """A chunk with less speech in it is left out."""
    max_speech_duration_s: Seconds = 15.0
    """Longest chunk; longer speech is cut at a pause. Attention costs the square of it, and 30 s is the most that an
    encoder of the Whisper family can hear."""
    min_silence_duration_ms: int = 2000
    speech_pad_ms: int = 2000

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in VAD_KINDS:
            problems.append(f"vad kind '{self.kind}'; expected one of {', '.join(VAD_KINDS)}")
        if not 0.0 < self.threshold < 1.0:
            problems.append(f"vad threshold {self.threshold}; expected a number between 0 and 1")
        if not 1.0 <= self.max_speech_duration_s <= MAX_CHUNK:
            problems.append(f"max_speech_duration_s {self.max_speech_duration_s}; expected 1 to {MAX_CHUNK:.0f}")
        names = ("min_speech_duration_ms", "min_silence_duration_ms", "speech_pad_ms")
        problems += [f"{name} {getattr(self, name)}; expected 0 or more" for name in names if getattr(self, name) < 0]
        if problems:
            raise ConfigError(problems)

    @property
    def end_threshold(self) -> float:
        """Speech ends below this probability."""
        return max(self.threshold - 0.15, 0.01) if self.neg_threshold is None else self.neg_threshold


class Detector(Protocol):
    """Hears one signal from its beginning on, in blocks of any number of frames; the blocks make no difference."""

    def probabilities(self, waveform: Waveform) -> NDArray[np.float32]:
        """Probability of speech in each next frame; `waveform` holds whole frames of 512 samples."""


class EverythingIsSpeech:
    """The detector for those who do not want one."""

    def probabilities(self, waveform: Waveform) -> NDArray[np.float32]:
        """1 for each frame."""
        return np.ones(len(waveform) // FRAME_SAMPLES, np.float32)


class EnergyDetector:
    """Speech is what is louder than the last 10 s at their quietest.

    In doubt it is speech: in the first 10 s, for which it takes the room for a quiet one, and where the level hardly
    changes. A chunk that is steady from its beginning to its end is found by `is_silent` later.
    """

    def __init__(self) -> None:
        self._levels = np.full(_MEMORY_FRAMES + _FLOOR_FRAMES - 2, _SILENT_DB)

    def probabilities(self, waveform: Waveform) -> NDArray[np.float32]:
        """1 or 0 for each next frame; `waveform` holds whole frames of 512 samples."""
        frames = waveform.reshape(-1, FRAME_SAMPLES)
        if not len(frames):
            return np.zeros(0, np.float32)
        # The variance is the power without a constant offset.
        levels = np.maximum(10 * np.log10(frames.var(axis=1, dtype=np.float64) + 1e-20), _FLOOR_DB)
        known = np.concatenate([self._levels, levels])
        self._levels = known[len(levels) :]
        windows = np.lib.stride_tricks.sliding_window_view
        smooth = 10 * np.log10(windows(10 ** (known / 10), _FLOOR_FRAMES).mean(axis=1))
        # One window a frame, which ends with it.
        quietest = windows(smooth, _MEMORY_FRAMES).min(axis=1)
        loud = np.percentile(windows(known, _MEMORY_FRAMES)[_FLOOR_FRAMES - 1 :], 95, axis=1)
        floor = np.maximum(quietest, loud - _MAX_RANGE_DB)
        least = floor + np.maximum(_PAUSE_SHARE * (loud - floor), _STEADY_DB)
        least[loud - floor < _MIN_RANGE_DB] = _SILENT_DB  # without a pause there is nothing to compare with
        return (levels > np.maximum(least, _SILENT_DB)).astype(np.float32)


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
    is_pause = levels_db < floor + _PAUSE_SHARE * (loud - floor)
    edges = np.flatnonzero(np.diff(is_pause, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2) if end - start >= min_hops]
