"""Score a recogniser on a manifest: word errors by kind, what the language model adds to the draft, and speed."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from tiny_audio import atomic
from tiny_audio.audio.timebase import samples_to_seconds
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import AudioError
from tiny_audio.evaluation.wer import ErrorCounts, count_errors
from tiny_audio.inference.results import Transcript
from tiny_audio.text.normalizers import ENGLISH_NORMALIZER_NAME
from tiny_audio.types import Seconds, Waveform

_MICRO_BATCH_SIZE = 8
"""Utterances decoded, then transcribed at a time: few enough that the waveforms take no memory worth a thought."""


class BatchTranscriber(Protocol):
    """All that an evaluation asks of a recogniser; `inference.transcriber.Transcriber` is one."""

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """One transcript for each waveform, in order."""


@dataclass(frozen=True, kw_only=True)
class UtteranceResult:
    """What was said and what was understood, as written, before the normaliser."""

    id: str
    reference: str
    hypothesis: str
    draft: str
    """The CTC's own answer, before the language model."""
    problem: str = ""
    """Why the audio could not be used; empty if it could."""


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """Scores of one model on one manifest."""

    utterances: tuple[UtteranceResult, ...]
    """In manifest order."""
    counts: ErrorCounts
    draft_counts: ErrorCounts
    audio_seconds: Seconds
    """Audio that was transcribed; unreadable files have none."""
    wall_seconds: Seconds
    """Features, model and decoding; reading and decompressing files does not count."""

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of work; higher is better."""
        return self.audio_seconds / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def relative_gain(self) -> float:
        """Share of the draft's errors that the language model takes away; negative where it adds some."""
        return 1.0 - self.counts.errors / self.draft_counts.errors if self.draft_counts.errors else 0.0

    @property
    def unreadable(self) -> tuple[UtteranceResult, ...]:
        """Utterances whose audio could not be used; each of their words counts as deleted."""
        return tuple(utterance for utterance in self.utterances if utterance.problem)


def evaluate(
    transcriber: BatchTranscriber, utterances: Sequence[Utterance], *, show_progress: bool = False
) -> EvaluationReport:
    """Transcribe all utterances and score them together.

    An utterance whose audio cannot be used keeps its place with an empty hypothesis: dropping it would make a broken
    corpus look better than a whole one. It is reported on standard error as it is met.

    Args:
        transcriber: The recogniser.
        utterances: At least one, with texts.
        show_progress: Draw a bar on standard error.
    """
    results: dict[str, UtteranceResult] = {}
    audio_seconds = wall_seconds = 0.0
    disable = None if show_progress else True  # None: on a terminal only
    with tqdm(total=len(utterances), unit="utt", desc="eval", file=sys.stderr, disable=disable) as progress:
        for batch in _batches(utterances):
            readable: list[Utterance] = []
            waveforms: list[Waveform] = []
            for utterance in batch:
                try:
                    waveforms.append(load_waveform(utterance))
                    readable.append(utterance)
                except AudioError as error:
                    progress.write(f"tiny-audio: error: {utterance.id}: {error}", file=sys.stderr)
                    results[utterance.id] = _result(utterance, problem=str(error))
            if readable:
                started = time.perf_counter()
                transcripts = transcriber.transcribe_batch(waveforms)
                wall_seconds += time.perf_counter() - started
                audio_seconds += sum(samples_to_seconds(len(waveform)) for waveform in waveforms)
                for utterance, transcript in zip(readable, transcripts, strict=True):
                    results[utterance.id] = _result(utterance, hypothesis=transcript.text, draft=transcript.draft)
            progress.update(len(batch))
    ordered = tuple(results[utterance.id] for utterance in utterances)
    references = [result.reference for result in ordered]
    return EvaluationReport(
        utterances=ordered,
        counts=count_errors(references, [result.hypothesis for result in ordered]),
        draft_counts=count_errors(references, [result.draft for result in ordered]),
        audio_seconds=audio_seconds,
        wall_seconds=wall_seconds,
    )


def write_report(report: EvaluationReport, folder: Path, *, model: str, manifest: str) -> None:
    """Write `results.json` (scores; rates are fractions) and `results.jsonl` (one utterance a line) to `folder`."""
    rows = (
        {"id": result.id, "reference": result.reference, "hypothesis": result.hypothesis, "draft": result.draft}
        | ({"problem": result.problem} if result.problem else {})
        for result in report.utterances
    )
    atomic.write_text(folder / "results.jsonl", "".join(_json_line(row) for row in rows))
    counts = report.counts
    scores = {
        "model": model,
        "manifest": manifest,
        "normalizer": ENGLISH_NORMALIZER_NAME,
        "num_utterances": len(report.utterances),
        "num_unreadable": len(report.unreadable),
        "wer": counts.wer,
        "errors": counts.errors,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "reference_words": counts.reference_words,
        "draft_wer": report.draft_counts.wer,
        "relative_gain": report.relative_gain,
        "audio_seconds": report.audio_seconds,
        "wall_seconds": report.wall_seconds,
        "rtfx": report.rtfx,
    }
    # Last, so that scores never stand beside the utterances of another run.
    atomic.write_text(folder / "results.json", json.dumps(scores, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def format_report(report: EvaluationReport) -> str:
    """Three lines to read: errors by kind, the draft's rate, the speed."""
    counts, draft = report.counts, report.draft_counts
    words = max(counts.reference_words, 1)
    kinds = {"S": counts.substitutions, "D": counts.deletions, "I": counts.insertions}
    by_kind = "  ".join(f"{kind} {number / words:.1%}".replace("%", " %") for kind, number in kinds.items())
    return (
        f"WER {100 * counts.wer:.2f} %  {by_kind}  "
        f"({counts.errors} errors / {counts.reference_words} words, {len(report.utterances)} utterances)\n"
        f"CTC draft alone: WER {100 * draft.wer:.2f} %  "
        f"(the language model changes its errors by {-100 * report.relative_gain:+.1f} %)\n"
        f"rtfx {report.rtfx:.1f}  ({report.audio_seconds:.1f} s of audio in {report.wall_seconds:.1f} s)"
    )


def _batches(utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    # Neighbours in length share a batch: less padding, so the speed is that of the model and not of the file order.
    by_duration = sorted(utterances, key=lambda utterance: utterance.duration)
    for first in range(0, len(by_duration), _MICRO_BATCH_SIZE):
        yield by_duration[first : first + _MICRO_BATCH_SIZE]


def _result(utterance: Utterance, *, hypothesis: str = "", draft: str = "", problem: str = "") -> UtteranceResult:
    return UtteranceResult(
        id=utterance.id, reference=utterance.text, hypothesis=hypothesis, draft=draft, problem=problem
    )


def _json_line(row: dict[str, str]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
