"""Do we invent words? Silence, noise, tones, music and badly recorded speech, through both modes.

    .venv/bin/python benchmarks/robustness.py [--speech MANIFEST] [--peer] [--json FILE] [--keep FOLDER]

Writes the robustness set (`tiny_audio.data.robustness_set`) to a temporary folder, an hour of silence included, and
transcribes every file of it as a user would, by its name.

    words/min   words on what is not speech, without the hour of silence, which would hide any of them; and on that hour
    crashes     recordings that ended with an exception
    loops       texts with a loop (`inference.guards.find_loop`), or with three words in a row twice more than were said
    empty       recordings of speech without any text; no bar
    WER         on the degraded speech; no bar

The last line is PASS if both modes write less than one word a minute on non-speech, crash on nothing and never loop,
else FAIL, which is exit code 1 too.
"""

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tiny_audio import atomic
from tiny_audio.audio.io import open_audio
from tiny_audio.data.manifest import Utterance, read_manifest
from tiny_audio.data.robustness_set import write_robustness_set
from tiny_audio.errors import TinyAudioError
from tiny_audio.evaluation.report.hallucinations import find_hallucinations
from tiny_audio.evaluation.results import ScoredUtterance, result_of
from tiny_audio.evaluation.scoring import build_scorer
from tiny_audio.evaluation.wer import pool
from tiny_audio.inference.guards import find_loop
from tiny_audio.types import Seconds

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "manifest.jsonl"
OURS = ("accurate", "fast")
PEER = "faster-whisper:base"
MAX_WORDS_A_MINUTE = 1.0
_LONG: Seconds = 600.0
"""Longer recordings are counted apart."""

Hear = Callable[[Path], str]
"""The text of a recording."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What one system did with the whole set."""

    words_a_minute: float
    """On non-speech of a few seconds."""
    long_words_a_minute: float
    """On the hour of silence."""
    crashes: tuple[str, ...]
    loops: tuple[str, ...]
    empty: tuple[str, ...]
    """Speech that was not heard at all."""
    invented: Mapping[str, str]
    """Clip without speech -> what was written."""
    wer: float

    @property
    def passed(self) -> bool:
        """Whether it meets the bars."""
        wordy = max(self.words_a_minute, self.long_words_a_minute) >= MAX_WORDS_A_MINUTE
        return not (wordy or self.crashes or self.loops)


def load_ours(model: str, mode: str) -> Hear:
    """Our model in one mode."""
    from tiny_audio.inference.transcriber import Transcriber

    transcriber = Transcriber.from_pretrained(model, mode=mode)  # type: ignore[arg-type]
    return lambda path: transcriber.transcribe(path).text


def load_peer() -> Hear:
    """faster-whisper from the same weights, as it stands in our evaluations."""
    from tiny_audio.evaluation.systems.system import build_system

    system = build_system(PEER)

    def hear(path: Path) -> str:
        with open_audio(path) as audio:
            waveform = np.concatenate([np.zeros(0, np.float32), *audio])
        return system.transcribe_batch([waveform])[0].text

    return hear


def transcribe_all(name: str, hear: Hear, utterances: Sequence[Utterance]) -> list[ScoredUtterance]:
    """Every recording with its text; one that crashes has a problem instead, and its traceback is on standard error."""
    scorer = build_scorer()
    scored = []
    for utterance in tqdm(utterances, desc=name, file=sys.stderr, disable=None):
        try:
            result = result_of(utterance, hypothesis=hear(utterance.audio))
        except Exception as error:
            traceback.print_exc()
            result = result_of(utterance, problem=f"{type(error).__name__}: {error}")
        scored.append(scorer.score(result))
    return scored


def summarize(scored: Sequence[ScoredUtterance]) -> Summary:
    """Counts over the set."""
    silent = [one for one in scored if not one.result.reference]
    return Summary(
        words_a_minute=words_a_minute([one for one in silent if one.result.duration <= _LONG]),
        long_words_a_minute=words_a_minute([one for one in silent if one.result.duration > _LONG]),
        crashes=tuple(one.result.id for one in scored if one.failed),
        loops=tuple(one.result.id for one in scored if has_loop(one)),
        empty=tuple(one.result.id for one in scored if "empty" in find_hallucinations(one)),
        invented={one.result.id: one.result.hypothesis for one in silent if one.result.hypothesis},
        wer=pool(one.counts for one in scored if one.result.reference).wer,
    )


def words_a_minute(scored: Sequence[ScoredUtterance]) -> float:
    """Words as they were written, not as a normaliser leaves them, in a minute of these recordings."""
    minutes = sum(one.result.duration for one in scored) / 60
    return sum(len(one.result.hypothesis.split()) for one in scored) / minutes if minutes else 0.0


def has_loop(scored: ScoredUtterance) -> bool:
    """Whether the text says again and again what was said less often."""
    result = scored.result
    return "loop" in find_hallucinations(scored) or find_loop(result.hypothesis, heard=result.reference) is not None


def format_table(summaries: Mapping[str, Summary]) -> str:
    """One line a system, then what each invented."""
    lines = [f"{'system':<20}  {'words/min':>9}  {'in 1 h':>7}  {'crashes':>7}  {'loops':>5}  {'empty':>5}  {'WER':>8}"]
    for name, one in summaries.items():
        numbers = f"{one.words_a_minute:9.2f}  {one.long_words_a_minute:7.2f}  {len(one.crashes):7}  {len(one.loops):5}"
        lines.append(f"{name:<20}  {numbers}  {len(one.empty):5}  {one.wer:8.2%}")
    for name, one in summaries.items():
        lines += [f"{name}, {id}: {text}" for id, text in one.invented.items()]
        lines += [f"{name}, {id}: crashed" for id in one.crashes]
        lines += [f"{name}, {id}: loop" for id in one.loops]
        lines += [f"{name}, {id}: no text" for id in one.empty]
    return "\n".join(lines)


def to_json(scored: Sequence[ScoredUtterance], summary: Summary) -> dict[str, Any]:
    """Everything about one system."""
    rows = [
        {"id": one.result.id, "text": one.result.reference, "pred_text": one.result.hypothesis}
        | {"duration": one.result.duration, "problem": one.result.problem}
        for one in scored
    ]
    return {**vars(summary), "passed": summary.passed, "clips": rows}


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """Transcribe the set with each system; everything about each, and whether ours pass."""
    utterances = read_manifest(write_robustness_set(folder, args.speech))
    loaders: dict[str, Callable[[], Hear]] = {mode: partial(load_ours, args.model, mode) for mode in OURS}
    if args.peer:
        loaders[PEER] = load_peer
    answers = {name: transcribe_all(name, load(), utterances) for name, load in loaders.items()}
    summaries = {name: summarize(scored) for name, scored in answers.items()}
    print(f"{len(utterances)} recordings, {sum(one.duration for one in utterances) / 60:.1f} min")
    print(format_table(summaries), flush=True)
    return {name: to_json(answers[name], one) for name, one in summaries.items()}, all(
        summaries[name].passed for name in OURS
    )


def main() -> int:
    """Measure, print the table, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-audio-base", help="name or checkpoint folder")
    parser.add_argument("--speech", type=Path, default=EXAMPLES, help="manifest; three of its utterances are degraded")
    parser.add_argument("--peer", action="store_true", help=f"also {PEER}, to compare with; takes minutes")
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the recordings there and keep them")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            result, passed = run(args, args.keep or Path(temporary))
    except TinyAudioError as error:
        print(f"robustness.py: error: {error}", file=sys.stderr)
        return 1
    if args.json:
        atomic.write_text(args.json, json.dumps(result, indent=1) + "\n")
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
