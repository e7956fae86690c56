"""Transcribe audio while it comes in.

    with transcriber.stream(sample_rate=16_000) as stream:
        for samples in microphone:
            for event in stream.push(samples):
                print(event.segment.text)
    print(stream.transcript.text)

A text is final as soon as the speaker has paused; it never changes after that. While someone speaks, the open chunk is
recognised again and again for a first guess. Finals depend on the signal alone, not on the blocks in which it came nor
on the guesses, and are those of `Transcriber.transcribe` with the same `VadOptions`. Only the open chunk's audio is
kept.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from tiny_audio.audio.io import Resampler, to_float
from tiny_audio.audio.timebase import SAMPLE_RATE, samples_to_seconds
from tiny_audio.audio.vad import VadOptions
from tiny_audio.errors import AudioError
from tiny_audio.inference.longform import Chunk, Chunker
from tiny_audio.inference.results import Segment, Transcript, join_segments
from tiny_audio.types import Seconds

if TYPE_CHECKING:
    from tiny_audio.inference.transcriber import Transcriber

MIN_SILENCE_MS = 500
"""A speaker who is silent for so long has finished; half of it stays with what was said."""
MAX_CHUNK: Seconds = 15.0
"""Who speaks on gets text at least this often."""
_MAX_GUESSING = 0.5  # share of the time that first guesses may take; a slow machine makes fewer of them


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """Text of one stretch of speech."""

    segment: Segment
    """With times from the beginning of the stream; a guess has the id of the final segment that will replace it."""
    is_final: bool
    stable_text: str = ""
    """What this guess and the one before it begin with alike; all of the text if it is final."""
    latency: Seconds = 0.0
    """From the end of the speech to its text: the silence that was waited for, and the work."""


class TranscriptionStream:
    """One live signal; see the head of this file. Not for several threads at once.

    Args:
        transcriber: whose model and detector to use.
        sample_rate: of what is pushed, in Hz.
        vad: when speech has ended; by default after half a second of silence.
        on_event: called with every event, also those of `close`.
        partial_interval: audio between two guesses; None for finals only.
    """

    def __init__(
        self,
        transcriber: "Transcriber",
        *,
        sample_rate: int = SAMPLE_RATE,
        vad: VadOptions | None = None,
        on_event: Callable[[StreamEvent], None] | None = None,
        partial_interval: Seconds | None = 1.0,
    ) -> None:
        self._transcriber = transcriber
        self._resampler = Resampler("the stream", sample_rate)
        self._chunker = Chunker(transcriber.new_detector(), vad or stream_options(transcriber.vad))
        self._on_event = on_event
        self._partial_interval = partial_interval
        self._segments: list[Segment] = []
        self._num_samples = 0
        self._guess = ""
        self._next_guess = 0  # sample
        self._is_open = True

    def push(self, samples: np.ndarray) -> list[StreamEvent]:
        """Hear the next samples `(n,)`, floats in [-1, 1] or integers; return the texts that are new.

        Raises:
            AudioError: the stream is closed, or these are not mono samples.
        """
        if not self._is_open:
            raise AudioError("the stream is closed; open a new one")
        samples = np.asarray(samples)
        if samples.ndim != 1:
            raise AudioError(f"samples of shape {samples.shape}; expected (n,), mono")
        waveform = np.nan_to_num(to_float(samples), nan=0.0, posinf=0.0, neginf=0.0)
        return self._hear(self._resampler.push(waveform))

    def close(self) -> list[StreamEvent]:
        """Return the text of what is still open. Leaving the `with` block does this too."""
        if not self._is_open:
            return []
        self._is_open = False
        events = self._hear(self._resampler.flush())
        return events + list(self._finals(self._chunker.flush()))

    @property
    def transcript(self) -> Transcript:
        """All final text so far."""
        return join_segments(tuple(self._segments), duration=samples_to_seconds(self._num_samples))

    def __enter__(self) -> "TranscriptionStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        self._is_open = False

    def _hear(self, waveform: np.ndarray) -> list[StreamEvent]:
        waveform = np.clip(waveform, -1.0, 1.0)
        self._num_samples += len(waveform)
        events = list(self._finals(self._chunker.push(waveform)))
        if self._partial_interval is not None and self._num_samples >= self._next_guess:
            events += self._guesses(self._partial_interval)
        return events

    def _finals(self, chunks: Sequence[Chunk]) -> Iterator[StreamEvent]:
        for chunk in chunks:
            started = time.perf_counter()
            segment = self._transcriber.recognise_chunk(len(self._segments), chunk)
            self._segments.append(segment)
            self._guess = ""
            latency = chunk.delay + time.perf_counter() - started
            yield self._tell(StreamEvent(segment=segment, is_final=True, stable_text=segment.text, latency=latency))

    def _guesses(self, interval: Seconds) -> Iterator[StreamEvent]:
        chunk = self._chunker.open_chunk
        if chunk is None:
            return
        started = time.perf_counter()
        segment = self._transcriber.recognise_chunk(len(self._segments), chunk)
        latency = time.perf_counter() - started
        pause = max(interval, latency / _MAX_GUESSING)
        self._next_guess = self._num_samples + round(pause * SAMPLE_RATE)
        pairs = zip(self._guess.split(), segment.text.split(), strict=False)
        stable_words = [word for word, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        self._guess = segment.text
        if segment.text:
            yield self._tell(
                StreamEvent(segment=segment, is_final=False, stable_text=" ".join(stable_words), latency=latency)
            )

    def _tell(self, event: StreamEvent) -> StreamEvent:
        if self._on_event:
            self._on_event(event)
        return event


def stream_options(vad: VadOptions) -> VadOptions:
    """The same detector, with endpoints that come soon."""
    return replace(
        vad,
        min_silence_duration_ms=min(vad.min_silence_duration_ms, MIN_SILENCE_MS),
        speech_pad_ms=min(vad.speech_pad_ms, MIN_SILENCE_MS // 2),
        max_speech_duration_s=min(vad.max_speech_duration_s, MAX_CHUNK),
    )
