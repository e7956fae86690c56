"""What `tiny-audio transcribe` says while it works: a line a file, how far it is, and a summary."""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tiny_audio.errors import TinyAudioError
from tiny_audio.types import Seconds

if TYPE_CHECKING:
    from tiny_audio.inference.jobs import Job
    from tiny_audio.inference.results import Transcript
    from tiny_audio.inference.transcriber import Progress

_DRAW_INTERVAL: Seconds = 0.2


class JobReport:
    """Messages on standard error, results on standard output, and their order on the same terminal.

    Args:
        jobs: what will be done, in this order.
        num_skipped: what was left out.
        progress: auto (a line that is drawn again and again, on a terminal only), json (an object a line), or none.
        quiet: errors only.
    """

    def __init__(self, jobs: Sequence["Job"], *, num_skipped: int, progress: str, quiet: bool) -> None:
        self.jobs = jobs
        self.counts = Counter(skipped=num_skipped)
        self._is_json = progress == "json"
        self._is_talking = not quiet and not self._is_json
        self._is_drawing = progress == "auto" and not quiet and sys.stderr.isatty()
        self._line = ""
        self._started = self._drawn = time.perf_counter()
        self._finished_seconds = self._open_seconds = 0.0
        self._open_share = 0.0  # of the file at work
        self._sizes = [job.source.num_bytes for job in jobs]

    def advance(self, progress: "Progress") -> None:
        """One more segment is done."""
        self._open_seconds = progress.segment.end
        if progress.header_duration:
            self._open_share = min(progress.segment.end / progress.header_duration, 1.0)
        self._draw()

    def fail(self, job: "Job", error: TinyAudioError) -> None:
        """A file could not be used."""
        self._close("failed", 0.0)
        self.say_error(error)
        self._event("file", source=job.source.audio, status="failed", error=str(error))

    def finish(self, job: "Job", transcript: "Transcript") -> None:
        """A file is done."""
        self._close("done", transcript.duration)
        outputs = [str(path) for path in job.outputs.values()]
        if self._is_talking:
            note = ", no speech" if transcript.no_speech else ""
            where = f" -> {', '.join(outputs)}" if outputs else ""
            self._say(f"{job.source.audio}: {transcript.duration:.1f} s of audio{note}{where}")
        self._event(
            "file",
            source=job.source.audio,
            status="done",
            duration=transcript.duration,
            no_speech=transcript.no_speech,
            warnings=list(transcript.warnings),
            outputs=outputs,
        )

    def summarise(self) -> None:
        """Say how it went, at the end or after Ctrl-C."""
        self._clear()
        numbers = self._numbers()
        self._event("summary", **numbers, **{kind: self.counts[kind] for kind in ("done", "failed", "skipped")})
        num_files = len(self.jobs) + self.counts["skipped"]
        if self._is_talking and num_files > 1:
            state = f"{self.counts['done']} done, {self.counts['failed']} failed"
            state += f", {self.counts['skipped']} skipped" if self.counts["skipped"] else ""
            self._say(f"{num_files} files: {state}; {numbers['audio_seconds']:.1f} s of audio, {numbers['rtfx']:.1f}x")

    def print(self, text: str) -> None:
        """Results."""
        self._clear()
        print(text, end="", flush=True)

    def say_error(self, error: TinyAudioError) -> None:
        """One line."""
        self._say(f"tiny-audio: error: {error}")

    def _say(self, line: str) -> None:
        self._clear()
        print(line, file=sys.stderr)

    def _close(self, status: str, duration: Seconds) -> None:
        self.counts[status] += 1
        self._finished_seconds += duration
        self._open_seconds = self._open_share = 0.0
        self._draw()

    def _numbers(self) -> dict[str, Any]:
        """How far it is: audio seconds, speed, and the time that is left judging by the bytes of the files."""
        wall = time.perf_counter() - self._started
        seconds = self._finished_seconds + self._open_seconds
        num_closed = self.counts["done"] + self.counts["failed"]
        bytes_done = sum(self._sizes[:num_closed])
        if num_closed < len(self._sizes):
            bytes_done += int(self._open_share * self._sizes[num_closed])
        total = sum(self._sizes)
        return {
            "files": num_closed,
            "total_files": len(self.jobs),
            "audio_seconds": round(seconds, 2),
            "rtfx": round(seconds / wall, 2) if wall else 0.0,
            "eta_seconds": round(wall * (total - bytes_done) / bytes_done, 1) if bytes_done else None,
        }

    def _draw(self) -> None:
        now = time.perf_counter()
        if not (self._is_drawing or self._is_json) or now - self._drawn < _DRAW_INTERVAL:
            return
        self._drawn = now
        numbers = self._numbers()
        self._event("progress", **numbers)
        if self._is_drawing:
            self._clear()
            eta = "" if numbers["eta_seconds"] is None else f", {_clock(numbers['eta_seconds'])} left"
            self._line = (
                f"{numbers['files']}/{numbers['total_files']} files, {_clock(numbers['audio_seconds'])} of audio, "
                f"{numbers['rtfx']:.1f}x{eta}"
            )
            print(self._line, end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._line:
            print("\r" + " " * len(self._line) + "\r", end="", file=sys.stderr, flush=True)
            self._line = ""

    def _event(self, event: str, **fields: Any) -> None:
        if self._is_json:
            print(json.dumps({"event": event} | fields, ensure_ascii=False), file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"{minutes // 60}:{minutes % 60:02d}:{int(seconds) % 60:02d}"
