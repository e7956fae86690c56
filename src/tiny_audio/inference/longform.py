"""Cut a signal of any length into chunks of speech that the encoder can hear at once, while it comes in.

Every decision is made frame by frame, so the blocks in which the signal comes make no difference, and no more of it is
kept than the chunk that is open. A chunk knows its real first sample, so times do not drift.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from logging import getLogger

import numpy as np

from tiny_audio.audio.timebase import HOP_LENGTH, SAMPLE_RATE, samples_to_seconds, seconds_to_samples
from tiny_audio.audio.vad import (
    FRAME_SAMPLES,
    Detector,
    EnergyDetector,
    EverythingIsSpeech,
    VadOptions,
    find_pauses,
    frame_levels_db,
    is_silent,
)
from tiny_audio.errors import WeightsError
from tiny_audio.types import Seconds, Waveform

_MIN_PAUSE: Seconds = 0.2  # by level; shorter ones are the closures of p, t and k
_MIN_PAUSE_FRAMES = 3  # by a detector, which bridges closures itself
_TIMED_MARGIN: Seconds = 0.4  # of what a chunk holds around its speech; more is there to be heard, not to be shown
_MIN_JUDGED: Seconds = 1.0  # a word cut out that short has no silence to stand out from: the model decides
_QUIET_WINDOW: Seconds = 0.3  # without a pause, cut in the middle of the quietest stretch of this length
_BLOCK_SAMPLES = 1024 * FRAME_SAMPLES  # judged at once, so that a long array costs no more memory than a file
_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One piece of a signal."""

    start_sample: int
    """Where it begins in the signal."""
    waveform: Waveform
    speech_prob: float = 1.0
    """What the detector says of the frame where it is surest of speech."""
    delay: Seconds = 0.0
    """How much was heard after the speech in it, before it was known to have ended."""
    lead_samples: int = 0
    """Silence before what is shown as its beginning,"""
    tail_samples: int = 0
    """and behind what is shown as its end."""

    @property
    def end_sample(self) -> int:
        """One behind its last sample."""
        return self.start_sample + len(self.waveform)

    @property
    def start(self) -> Seconds:
        """When it starts, but for silence that is only there to be heard."""
        return samples_to_seconds(self.start_sample + self.lead_samples)

    @property
    def end(self) -> Seconds:
        """When it ends, in the same way."""
        return samples_to_seconds(self.end_sample - self.tail_samples)


class Chunker:
    """Cuts one growing signal into chunks of at most `max_speech_duration_s`.

    A chunk ends where silence has lasted `min_silence_duration_ms`. Speech that goes on is cut in its longest pause
    between one third and 14/15 of the longest chunk (10 and 28 s of 30 s), so that no chunk is too short to give the
    language model a context.
    """

    def __init__(self, detector: Detector, options: VadOptions) -> None:
        self._detector = detector
        self._options = options
        self._max_samples = seconds_to_samples(options.max_speech_duration_s)
        self._min_silence = seconds_to_samples(options.min_silence_duration_ms / 1000)
        self._pad = min(seconds_to_samples(options.speech_pad_ms / 1000), self._min_silence)
        self._margin = min(self._pad, seconds_to_samples(_TIMED_MARGIN))
        self._min_speech_frames = round(options.min_speech_duration_ms / 1000 * SAMPLE_RATE / FRAME_SAMPLES)
        self._min_judged = seconds_to_samples(_MIN_JUDGED)
        self._signal = _Tail()
        self._rest = np.zeros(0, np.float32)  # less than a frame
        self._heard = 0  # samples judged
        self._is_speaking = False
        self._chunk_start: int | None = None  # None between chunks
        self._lead = 0  # samples of the open chunk before its time begins
        self._last_end = 0  # of the chunk before
        self._speech_end = 0  # of the last frame with speech
        self._num_speech_frames = 0  # in the open chunk
        self._speech_prob = 0.0  # the highest since the chunk before
        self._pauses: list[tuple[int, int]] = []  # in the open chunk, as samples

    def push(self, waveform: Waveform) -> list[Chunk]:
        """Hear the next samples, any number; return the chunks that have ended."""
        samples = np.concatenate([self._rest, waveform], dtype=np.float32)  # a copy: the caller may reuse its array
        num_whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = samples[num_whole:].copy()
        whole = samples[:num_whole]
        blocks = [whole[first : first + _BLOCK_SAMPLES] for first in range(0, num_whole, _BLOCK_SAMPLES)]
        return [chunk for block in blocks for chunk in self._judge(block)]

    def flush(self) -> list[Chunk]:
        """Return the chunk that is still open when the signal ends, if any. Nothing may be pushed any more."""
        chunks = []
        if len(self._rest):
            self._signal.append(self._rest)
            (probability,) = self._detector.probabilities(np.pad(self._rest, (0, FRAME_SAMPLES - len(self._rest))))
            chunks = self._step(float(probability), len(self._rest))
        if 0 < self._heard < self._min_judged and not self._last_end:
            self._chunk_start = 0
            self._num_speech_frames = self._min_speech_frames
        if self._chunk_start is not None:
            chunks += self._cut(self._heard)
        self._chunk_start = None
        return chunks

    @property
    def open_chunk(self) -> Chunk | None:
        """What has been heard of the chunk that has not ended, for a first guess at its text."""
        if self._chunk_start is None:
            return None
        waveform = self._signal.between(self._chunk_start, self._heard)
        return Chunk(start_sample=self._chunk_start, waveform=waveform)

    def _judge(self, waveform: Waveform) -> list[Chunk]:
        """Step through whole frames."""
        self._signal.append(waveform)
        chunks = []
        for probability in self._detector.probabilities(waveform).tolist():
            chunks += self._step(probability, FRAME_SAMPLES)
        # Silence stays for a while: at the beginning of the signal a short one belongs to the first chunk.
        kept = max(self._min_silence, self._min_judged)
        needed = self._heard - kept if self._chunk_start is None else self._chunk_start
        self._signal.forget(max(needed, self._last_end))
        return chunks

    def _step(self, probability: float, num_samples: int) -> list[Chunk]:
        """Take in one frame; only the last of a signal is shorter than the others."""
        start, end = self._heard, self._heard + num_samples
        chunks = []
        if self._chunk_start is not None and end - self._chunk_start > self._max_samples:
            chunks = self._split()
        self._heard = end
        limit = self._options.end_threshold if self._is_speaking else self._options.threshold
        was_speaking, self._is_speaking = self._is_speaking, probability >= limit
        if self._is_speaking:
            self._speech_prob = max(self._speech_prob, probability)
            if self._chunk_start is None:
                is_near_beginning = self._last_end == 0 and start < self._min_silence
                self._chunk_start = 0 if is_near_beginning else max(start - self._pad, self._last_end)
                self._lead = 0 if is_near_beginning else max(start - self._margin - self._chunk_start, 0)
                self._num_speech_frames = 0
            elif not was_speaking:
                self._pauses.append((self._speech_end, start))
            self._speech_end = end
            self._num_speech_frames += 1
        elif self._chunk_start is not None and end - self._speech_end >= self._min_silence:
            chunk_end = min(self._speech_end + self._pad, end)
            chunks += self._cut(chunk_end, tail=max(chunk_end - self._speech_end - self._margin, 0))
            self._chunk_start = None
        return chunks

    def _split(self) -> list[Chunk]:
        """Cut speech that goes on, at a pause; what is behind the cut stays open."""
        assert self._chunk_start is not None
        cut = self._best_cut(
            self._chunk_start + self._max_samples // 3, self._chunk_start + self._max_samples * 14 // 15
        )
        chunks = self._cut(cut)
        self._num_speech_frames = self._min_speech_frames  # what continues long speech is speech
        self._chunk_start = cut if self._speech_end > cut else None
        return chunks

    def _best_cut(self, first: int, last: int) -> int:
        """The middle of the longest pause between two samples, or else the quietest place there."""
        pauses = [*self._pauses, (self._speech_end, self._heard)]
        pauses = [(max(start, first), min(end, last)) for start, end in pauses]
        start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
        if end - start >= _MIN_PAUSE_FRAMES * FRAME_SAMPLES:
            return (start + end) // 2
        return first + _quietest(self._signal.between(first, last))

    def _cut(self, end: int, *, tail: int = 0) -> list[Chunk]:
        """End the open chunk there; nothing if there is surely no speech in it."""
        assert self._chunk_start is not None
        start, self._last_end = self._chunk_start, end
        speech_prob, self._speech_prob = self._speech_prob, 0.0
        lead, self._lead = self._lead, 0
        self._pauses = [pause for pause in self._pauses if pause[1] > end]
        waveform = self._signal.between(start, end)
        if self._num_speech_frames < self._min_speech_frames:
            return []
        if self._options.kind != "none" and is_silent(waveform):
            return []
        delay = samples_to_seconds(self._heard - min(self._speech_end, end))
        return [
            Chunk(
                start_sample=start,
                waveform=waveform,
                speech_prob=speech_prob,
                delay=delay,
                lead_samples=lead,
                tail_samples=tail,
            )
        ]


class _Tail:
    """The end of a signal, addressed by the samples of the whole."""

    def __init__(self) -> None:
        self._parts: deque[tuple[int, Waveform]] = deque()
        self._end = 0

    def append(self, waveform: Waveform) -> None:
        if len(waveform):
            self._parts.append((self._end, waveform))
            self._end += len(waveform)

    def forget(self, before: int) -> None:
        while self._parts and self._parts[0][0] + len(self._parts[0][1]) <= before:
            self._parts.popleft()

    def between(self, start: int, end: int) -> Waveform:
        """A copy of `[start, end)`, all of which must still be there."""
        parts = [part[max(start - first, 0) : max(end - first, 0)] for first, part in self._parts]
        return np.concatenate([np.zeros(0, np.float32), *parts])


def cut_into_chunks(blocks: Iterable[Waveform], detector: Detector, options: VadOptions) -> Iterator[Chunk]:
    """The chunks of a signal that comes in blocks of any size, each as soon as it has ended."""
    chunker = Chunker(detector, options)
    for block in blocks:
        yield from chunker.push(block)
    yield from chunker.flush()


def load_detector(options: VadOptions) -> Callable[[], Detector]:
    """What makes a detector for each signal.

    Raises:
        ImportError: `kind` is silero, and onnxruntime is missing or broken.
        WeightsError: `kind` is silero, and its file cannot be had.
    """
    if options.kind == "none":
        return EverythingIsSpeech
    if options.kind == "energy":
        return EnergyDetector
    from tiny_audio.audio.silero import SileroDetector, load_silero
    from tiny_audio.weights.store import SILERO_VAD, fetch

    try:
        return partial(SileroDetector, load_silero(fetch(SILERO_VAD)))
    except (ImportError, WeightsError) as error:
        if options.kind == "silero":
            raise
        _log.warning("speech is told from silence by level alone: %s", error)
        return EnergyDetector


def _quietest(region: Waveform) -> int:
    """Sample in the middle of the longest pause by level, or of the quietest stretch."""
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
