"""`tiny-audio samples`: example clips to try everything with."""

import argparse
from pathlib import Path

HELP = "put the example clips, with their manifest, in a folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--output-dir", type=Path, default=Path(), metavar="DIR", help="default: the folder you are in")


def run(args: argparse.Namespace) -> int:
    """Copy them and print their names."""
    from tiny_audio.errors import OutputError
    from tiny_audio.explain.samples import copy_samples

    try:
        paths = copy_samples(args.output_dir)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(str(args.output_dir), error.strerror or str(error)) from error
    for path in paths:
        print(path)
    return 0
