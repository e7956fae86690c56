"""`tiny-audio data chunk`: cut long recordings into utterances, their texts with them."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiny_audio.data.manifest import Utterance

HELP = "cut long recordings into utterances, their texts with them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, help="JSON-lines manifest with texts")
    parser.add_argument("-o", "--output", type=Path, required=True, help="manifest to write; no audio is copied")
    parser.add_argument(
        "--max-duration", type=float, default=20.0, metavar="SECONDS", help="of an utterance (default: %(default)g)"
    )
    parser.add_argument(
        "--min-confidence",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out parts whose words were heard with less on average, from 0 to 1 (default: keep all)",
    )
    parser.add_argument(
        "--model",
        default="tiny-audio-base",
        help="shipped model, or checkpoint of align, correct or ctc, that finds the words (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Write the manifest; what is left out goes to `OUTPUT.dropped.jsonl` with the reason.

    The exit code is 1 where a recording could not be cut, and 0 where only `--min-confidence` left something out.
    """
    if args.max_duration < 1 or not 0 <= args.min_confidence <= 1:
        problem = f"found --max-duration {args.max_duration:g} and --min-confidence {args.min_confidence:g}"
        print(f"tiny-audio data chunk: error: {problem}; expected 1 or more, and a share from 0 to 1", file=sys.stderr)
        return 2

    import torch
    from tqdm import tqdm

    from tiny_audio.data.manifest import read_manifest, write_manifest
    from tiny_audio.data.recordings import load_waveform
    from tiny_audio.errors import TinyAudioError
    from tiny_audio.inference.chunked_utterances import chunk_utterance
    from tiny_audio.inference.forced_alignment import align_text, load_ctc

    if args.threads:
        torch.set_num_threads(args.threads)
    utterances = read_manifest(args.manifest)
    ctc = load_ctc(args.model)
    kept: list[Utterance] = []
    dropped: list[Utterance] = []
    num_long = num_failed = 0
    for utterance in tqdm(utterances, unit="utt", file=sys.stderr, disable=not sys.stderr.isatty()):
        if utterance.duration <= args.max_duration:
            kept.append(utterance)
            continue
        num_long += 1
        try:
            words = align_text(ctc, load_waveform(utterance), utterance.text)
        except TinyAudioError as error:
            num_failed += 1
            dropped.append(_with_reason(utterance, str(error)))
            continue
        if not words:
            num_failed += 1
            dropped.append(_with_reason(utterance, "no text"))
        for part in chunk_utterance(utterance, words, max_duration=args.max_duration):
            if part.duration > args.max_duration:
                num_failed += 1
                dropped.append(_with_reason(part, f"a word of {part.duration:.1f} s: not the text of this recording?"))
            elif (confidence := part.extra["confidence"]) < args.min_confidence:
                dropped.append(_with_reason(part, f"confidence {confidence:.2f} below {args.min_confidence:g}"))
            else:
                kept.append(part)
    write_manifest(args.output, kept)
    message = f"{num_long} of {len(utterances)} utterances cut; {len(kept)} utterances in {args.output}"
    dropped_path = args.output.with_suffix(".dropped.jsonl")
    dropped_path.unlink(missing_ok=True)  # of a run before this one
    if dropped:
        write_manifest(dropped_path, dropped)
        minutes = sum(utterance.duration for utterance in dropped) / 60
        message += f"; {len(dropped)} ({minutes:.1f} min) left out in {dropped_path}"
    print(message, file=sys.stderr)
    print(args.output)
    return 1 if num_failed else 0


def _with_reason(utterance: "Utterance", reason: str) -> "Utterance":
    from dataclasses import replace

    return replace(utterance, extra={**utterance.extra, "dropped": reason})
