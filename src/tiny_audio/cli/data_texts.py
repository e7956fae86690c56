"""`tiny-audio data texts`: sentences that books and prompts lack: commands, numbers, names, questions."""

import argparse
import sys
from pathlib import Path

HELP = "write made-up sentences: commands, numbers, names, questions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-o", "--output", type=Path, required=True, help=".tsv or .tsv.gz, read by `data synth`")
    parser.add_argument("--count", type=int, default=30_000, help="unique lines (default: 30000)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same lines (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Write the lines; prints the file's path."""
    from tiny_audio.data.texts import generate_sentences, write_sentences

    sentences = generate_sentences(args.count, seed=args.seed)
    write_sentences(args.output, sentences)
    print(f"{len(sentences)} lines", file=sys.stderr)
    print(args.output)
    return 0
