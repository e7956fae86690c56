"""`tiny-audio data check`: find what is wrong in manifests and their recordings, before a run depends on them."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiny_audio.data.check import CheckReport, Feasibility, Finding, Kind, Part
    from tiny_audio.models.asr_config import ASRConfig
    from tiny_audio.training.config import CTCSystem

    Frames = Callable[[float], int]
    Labels = Callable[[str], Sequence[int]]

HELP = "find what is wrong in manifests and their recordings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, nargs="*", help="JSON-lines manifests")
    parser.add_argument("--train", type=Path, nargs="+", default=[], metavar="MANIFEST", help="manifests to train on,")
    parser.add_argument(
        "--test",
        type=Path,
        nargs="+",
        default=[],
        metavar="MANIFEST",
        help="and to measure on: no speaker, text or sound may be in both",
    )
    parser.add_argument("--strict", action="store_true", help="exit code 1 if there is a problem")
    parser.add_argument(
        "--ignore", nargs="+", default=[], metavar="KIND", help="findings that do not count here, such as test-speaker"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write every finding, as JSON lines")
    parser.add_argument("--fix", type=Path, metavar="MANIFEST", help="write what has no problem; durations are mended")
    fits = parser.add_argument_group("does the text fit the audio (CTC)?")
    kind = fits.add_mutually_exclusive_group()
    kind.add_argument("--recipe", metavar="NAME", help="as this system would read and write it")
    kind.add_argument("--units", choices=["bpe", "char"], help="256 subword units of these texts, or characters")
    fits.add_argument("--frame-rate", type=float, default=12.5, help="CTC frames a second for --units (default 12.5)")
    fits.add_argument("--speed", type=float, default=1.0, help="fastest that training plays the audio (default 1)")
    parser.add_argument("--workers", type=int, default=1, help="processes that listen (default 1)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Print a summary; with `--strict`, exit code 1 when there is a problem."""
    fixable = args.manifest + args.train
    if not fixable + args.test:
        return _wrong_usage("nothing to check: name manifests, or give --train and --test")
    if args.fix and len(fixable) != 1:
        return _wrong_usage(f"--fix mends one manifest, and here are {len(fixable)}")
    if args.workers < 1 or not args.speed > 0 or not args.frame_rate > 0:
        return _wrong_usage("--workers, --speed and --frame-rate must be more than 0")

    from tqdm import tqdm

    from tiny_audio.data.check import NOTES, PROBLEMS, Part, check
    from tiny_audio.errors import UnknownNameError

    kinds = PROBLEMS | NOTES
    if unknown := [kind for kind in args.ignore if kind not in kinds]:
        raise UnknownNameError("kind of finding", unknown[0], kinds)
    parts = [Part.read(path) for path in args.manifest]
    parts += [Part.read(path, "train") for path in args.train]
    parts += [Part.read(path, "test") for path in args.test]
    total = sum(len(part.utterances) for part in parts)
    feasibility = _feasibility(args, parts)
    with tqdm(total=total, unit="utt", file=sys.stderr, disable=True if args.quiet else None) as bar:
        report = check(parts, feasibility=feasibility, ignore=args.ignore, workers=args.workers, progress=bar.update)
    print(_summary(report))
    output = args.output or (args.fix and args.fix.with_suffix(".problems.jsonl"))
    if output:
        _write(output, report.findings)
        print(f"tiny-audio: every finding is in {output}", file=sys.stderr)
    if args.fix:
        _fix(args.fix, report, next(part for part in parts if part.path == fixable[0]))
    return 1 if args.strict and report.problems else 0


def _fix(path: Path, report: "CheckReport", part: "Part") -> None:
    from tiny_audio.data.manifest import write_manifest

    kept = report.clean[part.path]
    write_manifest(path, kept)
    before = {utterance.id: utterance.duration for utterance in part.utterances}
    mended = sum(utterance.duration != before[utterance.id] for utterance in kept)
    dropped = len(part.utterances) + len(part.bad_lines) - len(kept)
    print(f"tiny-audio: {path}: {len(kept)} kept ({mended} durations mended), {dropped} dropped", file=sys.stderr)


def _summary(report: "CheckReport") -> str:
    """A line for each kind of finding, with the first of them as an example."""
    from tiny_audio.data.check import NOTES, PROBLEMS

    by_kind: defaultdict[Kind, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        by_kind[finding.kind].append(finding)

    def lines(kinds: "dict[Kind, str]") -> list[str]:
        found = [(kind, by_kind[kind]) for kind in kinds if kind in by_kind]
        return [
            f"  {kind:<13} {len(rows):>6}  {kinds[kind]}; first: {rows[0].id}: {rows[0].detail}" for kind, rows in found
        ]

    whole = f"{report.num_utterances} utterances, {report.duration / 3600:.2f} h"
    problems, notes = lines(PROBLEMS), lines(NOTES)
    return "\n".join(
        [f"{whole}: {len(report.problems) or 'no'} problems", *problems, *(["to know:", *notes] if notes else [])]
    )


def _write(path: Path, findings: "Sequence[Finding]") -> None:
    import json

    from tiny_audio import atomic

    atomic.write_text(path, "".join(json.dumps(vars(finding), ensure_ascii=False) + "\n" for finding in findings))


def _feasibility(args: argparse.Namespace, parts: "Sequence[Part]") -> "Feasibility | None":
    """CTC frames that a duration has and that a text needs, by a recipe or by units and a frame rate."""
    if args.recipe is None and args.units is None:
        print("tiny-audio: texts are not compared with what CTC can align; give --recipe or --units", file=sys.stderr)
        return None

    from tiny_audio.data.check import Feasibility
    from tiny_audio.models.ctc import frames_needed
    from tiny_audio.recipes import build_recipe
    from tiny_audio.training.config import CTCSystem

    texts = [utterance.text for part in parts for utterance in part.utterances]
    model = CTCSystem(units=args.units) if args.recipe is None else build_recipe(args.recipe).model
    frames: Frames
    if isinstance(model, CTCSystem):
        labels = _unit_labels(model, texts)
        frames = _ctc_frames(model) if args.recipe else lambda duration: int(duration * args.frame_rate)
    elif model.projector.aligned:
        frames, labels = _audio_tokens(model), _token_labels(model)
    else:
        print(f"tiny-audio: '{args.recipe}' has no CTC, so any text fits its audio", file=sys.stderr)
        return None
    return Feasibility(available=frames, needed=lambda text: frames_needed(labels(text)), speed=args.speed)


def _unit_labels(system: "CTCSystem", texts: "Sequence[str]") -> "Labels":
    from tiny_audio.text.ctc_units import CTCUnits

    if system.units == "char":
        return CTCUnits.characters(texts).encode
    return CTCUnits.train_bpe(texts, num_units=system.num_units).encode


def _token_labels(config: "ASRConfig") -> "Labels":
    from tiny_audio.models.llm import build_tokenizer
    from tiny_audio.models.modules import build_ctc_tokenizer
    from tiny_audio.text.prompts import encode_transcript

    tokenizer = build_ctc_tokenizer(config.projector, build_tokenizer(config.llm))
    return lambda text: encode_transcript(tokenizer, text)


def _ctc_frames(system: "CTCSystem") -> "Frames":
    import torch

    from tiny_audio.audio.timebase import seconds_to_samples
    from tiny_audio.models.encoders.aut import AuTEncoder, aut_preset

    with torch.device("meta"):  # only its arithmetic of lengths is asked for
        encoder = AuTEncoder(aut_preset(system.preset))

    def frames(duration: float) -> int:
        return int(encoder.output_lengths(torch.tensor([seconds_to_samples(duration)]))) * system.head_upsample

    return frames


def _audio_tokens(config: "ASRConfig") -> "Frames":
    from dataclasses import replace

    import torch

    from tiny_audio.audio.timebase import seconds_to_samples
    from tiny_audio.models.encoders.build import build_encoder, encoder_architecture
    from tiny_audio.models.projectors.build import build_projector

    weightless = replace(config.encoder, source=None, architecture=encoder_architecture(config.encoder), lora=None)
    with torch.device("meta"):  # only their arithmetic of lengths is asked for
        encoder = build_encoder(weightless)
        projector = build_projector(config.projector, encoder_dim=config.encoder_dim, llm_dim=config.llm_dim)

    def frames(duration: float) -> int:
        num_frames = encoder.output_lengths(torch.tensor([seconds_to_samples(duration)]))
        return int(projector.output_lengths(num_frames))

    return frames


def _wrong_usage(problem: str) -> int:
    print(f"tiny-audio data check: error: {problem}", file=sys.stderr)
    return 2
