"""`tiny-audio data shard`: a corpus as WebDataset tars."""

import argparse
import sys
from pathlib import Path

HELP = "write a corpus as tars, for a cluster or a web server"
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, help="JSON-lines manifest")
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="folder of the tars, made when missing")
    parser.add_argument(
        "--shard-size", type=_size, default="1G", metavar="SIZE", help="of a tar, such as 500M or 1G (default: 1G)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _size(text: str) -> int:
    number, unit = (text[:-1], _UNITS[text[-1].upper()]) if text[-1:].upper() in _UNITS else (text, 1)
    try:
        size = float(number) * unit
    except ValueError:
        size = 0
    if not size >= 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a size such as 500M or 1G")
    return int(size)


def run(args: argparse.Namespace) -> int:
    """Write the tars and print their list; exit code 1 when something had to be left out."""
    import json

    from tqdm import tqdm

    from tiny_audio import atomic
    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.data.shard_writer import write_shards
    from tiny_audio.data.shards import LIST

    utterances = read_manifest(args.manifest)
    with tqdm(total=len(utterances), unit="utt", file=sys.stderr, disable=True if args.quiet else None) as bar:
        unreadable = write_shards(utterances, args.output_dir, shard_bytes=args.shard_size, progress=bar.update)
    left_out = args.output_dir / "left-out.jsonl"
    left_out.unlink(missing_ok=True)  # of a run before this one
    if unreadable:
        atomic.write_text(left_out, "".join(json.dumps(vars(one), ensure_ascii=False) + "\n" for one in unreadable))
        print(f"{len(unreadable)} left out, with the reasons in {left_out}", file=sys.stderr)
    print(args.output_dir / LIST)
    return 1 if unreadable else 0
