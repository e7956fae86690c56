"""`tiny-audio weights`: fetch, verify and unpack the frozen weights, so that everything else works offline."""

import argparse

HELP = "fetch, verify and list the frozen weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--offline", action="store_true", help="do not use the network: fail when a file is missing")
    parser.add_argument("--verify", action="store_true", help="hash every file again, even if it looks unchanged")


def run(args: argparse.Namespace) -> int:
    """Print where each file lies, one a line."""
    from tiny_audio.weights.gguf import prepare
    from tiny_audio.weights.store import DEFAULT_WEIGHTS, fetch

    for spec in DEFAULT_WEIGHTS:
        print(fetch(spec, offline=args.offline, verify=args.verify), flush=True)
    print(prepare(verify=args.verify))
    return 0
