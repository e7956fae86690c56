"""`tiny-audio data describe`: recordings for the `describe` task, with noises and rooms that are known."""

import argparse
import json
import sys
from pathlib import Path

HELP = "make recordings whose description is known, for `describe`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "manifest",
        nargs="+",
        help='JSON-lines manifest; its lines may say "sex": "female" or "male", and "clean": true',
    )
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="folder for audio/ and manifest.jsonl")
    parser.add_argument("--copies", type=int, default=1, help="differing clips of each recording (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same clips (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Write the clips; exit code 1 where nothing is known of some recordings, which `skipped.json` lists."""
    if args.copies < 1:
        print(f"tiny-audio data describe: error: found --copies {args.copies}; expected 1 or more", file=sys.stderr)
        return 2

    from tiny_audio import atomic
    from tiny_audio.data.describe import describe_recordings
    from tiny_audio.data.manifest import read_manifest

    utterances = [utterance for manifest in args.manifest for utterance in read_manifest(manifest)]
    report = describe_recordings(utterances, args.output_dir, copies=args.copies, seed=args.seed)
    print(f"{report.num_written} clips, {len(report.skipped)} recordings skipped", file=sys.stderr)
    if report.skipped:
        path = args.output_dir / "skipped.json"
        atomic.write_text(path, json.dumps(report.skipped, indent=1, ensure_ascii=False) + "\n")
        print(f"the reasons are in {path}", file=sys.stderr)
    print(args.output_dir / "manifest.jsonl")
    return 1 if report.skipped else 0
