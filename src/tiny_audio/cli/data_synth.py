"""`tiny-audio data synth`: training speech from text, with synthetic voices."""

import argparse
import sys
from pathlib import Path

HELP = "make training speech from text with synthetic voices"


def voice_shares(text: str) -> dict[str, float]:
    """`hibari:0.6,flite:0.2` to shares; a voice without a number has share 1."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition(":")
        try:
            shares[name] = float(share) if share else 1.0
        except ValueError:
            raise argparse.ArgumentTypeError(f"found '{part}'; expected name or name:share") from None
    return shares


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "text_file", type=Path, help="one sentence a line, or .tsv[.gz]: source <tab> sentence [<tab> how to say it]"
    )
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="folder for audio/ and manifest.jsonl")
    parser.add_argument(
        "--voices",
        type=voice_shares,
        default={"hibari": 1.0},
        metavar="NAME:SHARE,...",
        help="hibari, flite, pico, joe, espeak, kokoro with their shares (default: hibari)",
    )
    parser.add_argument("--kokoro-voices", type=Path, default=Path("kokoro-voices"), help="folder of af_*.bin, ...")
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--hours", type=float, help="stop when this many hours of speech exist")
    amount.add_argument("--count", type=int, help="stop after this many clips")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same clips (default: 0)")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each (default: 1)")
    parser.add_argument("--augment", action="store_true", help="store the clips with rooms, noise and band limits")
    parser.add_argument(
        "--audio-format",
        choices=("flac", "opus"),
        default="flac",
        help="opus takes a fifth of the space, and longer to encode than a fast voice to speak (default: flac)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Make the speech; prints the manifest's path."""
    from tiny_audio.data.synth import SynthConfig, synthesize
    from tiny_audio.data.texts import read_sentences

    config = SynthConfig(
        voices=args.voices,
        hours=args.hours,
        count=args.count,
        seed=args.seed,
        workers=args.workers,
        noise=args.augment,
        kokoro_voices=args.kokoro_voices,
        audio_format=args.audio_format,
    )
    report = synthesize(read_sentences(args.text_file), args.output_dir, config, quiet=args.quiet)
    failed = f", {report.num_failed} failed (see failed.jsonl)" if report.num_failed else ""
    print(f"{report.num_clips} clips, {report.duration / 3600:.2f} h{failed}", file=sys.stderr)
    print(args.output_dir / "manifest.jsonl")
    return 0
