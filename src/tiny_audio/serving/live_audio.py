"""The samples of one live connection as they come, and the texts in them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tiny_audio.audio.io import PCM_TYPES
from tiny_audio.inference.streaming import StreamEvent, TranscriptionStream
from tiny_audio.types import Seconds


class LiveAudio:
    """A signal of 16-bit samples in pieces of any number of bytes, which may be ended and begun again.

    Times and numbers of segments go on over all of its parts.

    Args:
        open_stream: begins a part.
        sample_rate: of the samples, in Hz.
    """

    def __init__(self, open_stream: Callable[[], TranscriptionStream], sample_rate: int) -> None:
        self._open_stream = open_stream
        self._sample_rate = sample_rate
        self._stream = open_stream()
        self._half = b""  # of a sample, whose other half has not come
        self._num_samples = 0  # of this part
        self._start: Seconds = 0.0  # of this part
        self._num_segments = 0  # of the parts before

    @property
    def has_audio(self) -> bool:
        """Whether anything has come since the last part ended."""
        return self._num_samples > 0

    @property
    def duration(self) -> Seconds:
        """All that has come."""
        return self._start + self._num_samples / self._sample_rate

    def push(self, data: bytes) -> list[StreamEvent]:
        """Hear the next bytes."""
        data = self._half + data
        num_whole = len(data) // 2 * 2
        self._half = data[num_whole:]
        samples = np.frombuffer(data[:num_whole], PCM_TYPES["s16le"])
        self._num_samples += len(samples)
        return [self._in_whole(event) for event in self._stream.push(samples)]

    def flush(self) -> list[StreamEvent]:
        """End this part and return the texts that were still open."""
        events = [self._in_whole(event) for event in self._stream.close()]
        self._num_segments += len(self._stream.transcript.segments)
        self._begin()
        return events

    def clear(self) -> None:
        """Forget what is still open."""
        self._num_segments += len(self._stream.transcript.segments)
        self._begin()

    def _begin(self) -> None:
        self._start = self.duration
        self._num_samples = 0
        self._half = b""
        self._stream = self._open_stream()

    def _in_whole(self, event: StreamEvent) -> StreamEvent:
        """An event of this part as one of the whole signal."""
        part = event.segment
        segment = replace(
            part,
            id=part.id + self._num_segments,
            start=round(part.start + self._start, 3),
            end=round(part.end + self._start, 3),
            words=tuple(
                replace(word, start=round(word.start + self._start, 3), end=round(word.end + self._start, 3))
                for word in part.words
            ),
        )
        return replace(event, segment=segment)
