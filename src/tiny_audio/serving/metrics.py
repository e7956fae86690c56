"""What the server counts, for Prometheus. No text, no audio and no client is in it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tiny_audio.inference.results import Transcript
from tiny_audio.types import Seconds

_REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BATCH_CHUNKS = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "tiny_audio_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self.request_seconds = Histogram(
            "tiny_audio_request_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=_REQUEST_SECONDS,
            registry=self._registry,
        )
        self._batch_chunks = Histogram(
            "tiny_audio_batch_chunks",
            "Chunks that the model heard together.",
            buckets=_BATCH_CHUNKS,
            registry=self._registry,
        )
        self._audio_seconds = Counter("tiny_audio_audio_seconds", "Audio transcribed.", registry=self._registry)
        self._model_seconds = Counter(
            "tiny_audio_transcription_seconds", "Time that recordings waited and worked.", registry=self._registry
        )
        self._empty = Counter("tiny_audio_empty_results", "Recordings without speech.", registry=self._registry)
        self._flagged = Counter("tiny_audio_flagged_segments", "Segments of doubtful text.", registry=self._registry)

    def count_batch(self, num_chunks: int) -> None:
        """One more batch."""
        self._batch_chunks.observe(num_chunks)

    def count_transcript(self, transcript: Transcript, seconds: Seconds) -> None:
        """One more recording, and how long it took."""
        self._audio_seconds.inc(transcript.duration)
        self._model_seconds.inc(seconds)
        self._empty.inc(transcript.no_speech)
        self._flagged.inc(sum(segment.flagged for segment in transcript.segments))

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Show what the function says whenever somebody looks."""
        Gauge(f"tiny_audio_{name}", description, registry=self._registry).set_function(value)

    def to_text(self) -> bytes:
        """All of it, in the format of Prometheus."""
        return generate_latest(self._registry)
