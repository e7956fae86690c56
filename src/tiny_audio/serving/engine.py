"""Recordings and live audio of many callers, transcribed by one model.

    engine.submit(file)      decode, find speech, cut: a thread for each recording
      | SharedModel          the chunks of all of them, together
    Future[Transcript]       the segments in their order, joined

The transcript is the one that `Transcriber.transcribe` gives of the same recording.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tiny_audio.audio.io import AudioStream, open_audio
from tiny_audio.audio.vad import VadOptions
from tiny_audio.errors import AudioTooLongError
from tiny_audio.inference.longform import Chunk, cut_into_chunks
from tiny_audio.inference.results import Segment, Transcript, join_segments
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.serving.shared_model import SharedModel
from tiny_audio.types import Seconds, Waveform

if TYPE_CHECKING:
    from tiny_audio.inference.streaming import TranscriptionStream

MAX_DURATION: Seconds = 4 * 3600.0
_CHUNKS_AHEAD = 3  # of one recording: enough to keep the lanes busy, few enough that short recordings get between
_MAX_DECODED_RATE = 48_000  # Hz; a higher rate may last shorter, so that no file unpacks to more samples than this
_DECODERS = 16  # recordings that are decoded at the same time; further ones wait


class Engine:
    """Owns a transcriber and the threads that work for it; the methods are for any thread.

    Args:
        transcriber: whose model and options to use; nobody else may use it any more.
        num_lanes: batches that are computed at the same time.
        max_batch_duration: audio in a batch.
        max_duration: of one recording.
        prepare_lane: called in the thread of each lane before it begins.
        on_batch: told the number of chunks in each batch.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        num_lanes: int = 1,
        max_batch_duration: Seconds = 30.0,
        max_duration: Seconds = MAX_DURATION,
        prepare_lane: Callable[[], None] | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.max_duration = max_duration
        self._model = SharedModel(
            transcriber.model,
            num_lanes=num_lanes,
            max_batch_duration=max_batch_duration,
            prepare_lane=prepare_lane,
            on_batch=on_batch,
        )
        self._transcriber = copy.copy(transcriber)
        self._transcriber.model = self._model
        self._transcriber.new_detector()  # loads it; the copies of this transcriber have it then
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decoder")
        self._listeners = ThreadPoolExecutor(_DECODERS * (_CHUNKS_AHEAD + 1), thread_name_prefix="listener")

    @property
    def num_waiting(self) -> int:
        """Chunks that wait for the model."""
        return self._model.num_waiting

    @property
    def takes_hotwords(self) -> bool:
        """Whether the model can be told words that are likely to be said."""
        return self._model.takes_hotwords

    def submit(
        self,
        source: Any,
        *,
        hotwords: Sequence[str] = (),
        on_segment: Callable[[Segment], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> "Future[Transcript]":
        """Transcribe a file name, bytes or binary file; cancelling the future ends the work.

        Args:
            source: what `open_audio` takes.
            hotwords: words that are likely to be said.
            on_segment: called with every segment, in order, from another thread.
            on_end: called when nothing touches the source any more, whatever became of it.

        Returns:
            The transcript, or `AudioError` where nothing can be decoded (`AudioTooLongError`: more than
            `max_duration`).
        """
        future: Future[Transcript] = Future()
        self._decoders.submit(self._run, future, source, tuple(hotwords), on_segment, on_end)
        return future

    def stream(
        self,
        *,
        sample_rate: int,
        vad: VadOptions | None = None,
        hotwords: Sequence[str] = (),
        partial_interval: Seconds | None = 1.0,
    ) -> "TranscriptionStream":
        """Transcribe live audio; see `Transcriber.stream`. One thread at a time may push to it."""
        own = copy.copy(self._transcriber)
        own.hotwords = hotwords or own.hotwords
        return own.stream(sample_rate=sample_rate, vad=vad, partial_interval=partial_interval)

    @property
    def vad(self) -> VadOptions:
        """What is speech, in recordings."""
        return self._transcriber.vad

    def close(self) -> None:
        """Finish what was submitted, and end."""
        self._decoders.shutdown()
        self._listeners.shutdown()
        self._model.close()

    def _run(
        self,
        future: "Future[Transcript]",
        source: Any,
        hotwords: Sequence[str],
        on_segment: Callable[[Segment], None] | None,
        on_end: Callable[[], None] | None,
    ) -> None:
        # The future is settled last: who waits for it finds everything cleared away.
        settle: Callable[[], Any] = future.cancel
        try:
            if not future.cancelled():
                settle = partial(future.set_result, self._transcribe(future, source, hotwords, on_segment))
        except CancelledError:
            pass
        except Exception as error:
            settle = partial(future.set_exception, error)
        finally:
            if on_end:
                on_end()
            with suppress(InvalidStateError):  # it was cancelled meanwhile
                settle()

    def _transcribe(
        self,
        future: "Future[Transcript]",
        source: Any,
        hotwords: Sequence[str],
        on_segment: Callable[[Segment], None] | None,
    ) -> Transcript:
        segments: list[Segment] = []
        waiting: deque[Future[Segment]] = deque()

        def take() -> None:
            segments.append(waiting.popleft().result())
            if on_segment and not future.cancelled():
                on_segment(segments[-1])

        own = copy.copy(self._transcriber)
        own.model = _Caller(self._model, future.cancelled)
        with open_audio(source) as audio:
            blocks = self._within_limits(audio, future.cancelled)
            for id, chunk in enumerate(cut_into_chunks(blocks, own.new_detector(), own.vad)):
                waiting.append(self._listen(own, id, chunk, hotwords))
                while waiting and (len(waiting) > _CHUNKS_AHEAD or waiting[0].done()):
                    take()
            while waiting:
                take()
        return join_segments(tuple(segments), duration=audio.duration, warnings=tuple(audio.warnings))

    def _listen(self, own: Transcriber, id: int, chunk: Chunk, hotwords: Sequence[str]) -> "Future[Segment]":
        return self._listeners.submit(own.recognise_chunk, id, chunk, hotwords=hotwords)

    def _within_limits(self, audio: AudioStream, is_cancelled: Callable[[], bool]) -> Iterator[Waveform]:
        """The blocks of the recording, until there are too many of them or nobody wants them any more."""
        limit = self.max_duration * min(1.0, _MAX_DECODED_RATE / audio.sample_rate)
        if (audio.header_duration or 0.0) > limit:
            raise AudioTooLongError(f"the audio lasts {audio.header_duration:.0f} s by its header; {_at_most(limit)}")
        for block in audio:
            if is_cancelled():
                raise CancelledError
            if audio.duration > limit:
                raise AudioTooLongError(f"the audio is too long; {_at_most(limit)}")
            yield block


class _Caller:
    """The shared model as one request sees it: what it has asked for and wants no more is not computed."""

    def __init__(self, model: SharedModel, is_cancelled: Callable[[], bool]) -> None:
        self._model = model
        self._is_cancelled = is_cancelled

    def transcribe_waveforms(self, waveforms: Sequence[Waveform], *, hotwords: Sequence[str] = ()) -> Any:
        return self._model.transcribe_waveforms(waveforms, hotwords=hotwords, is_cancelled=self._is_cancelled)


def _at_most(limit: Seconds) -> str:
    return f"at most {limit:.0f} s are transcribed at once: send it in parts"
