"""`tiny-audio diagnose`: is a run learning, and if not, why not?"""

import argparse
import json

HELP = "is a run learning, and if not, why not"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", metavar="RUN|MODEL", help="folder of a run, going on or finished, or a checkpoint")
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        default=[],
        help="manifests or feature caches it was not trained on (default: the run's validation sets)",
    )
    parser.add_argument("--utterances", type=int, default=32, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print a line for each finding and the verdict."""
    from dataclasses import asdict

    from tiny_audio.training.diagnosis import diagnose

    found = diagnose(args.run, data=args.data, num_utterances=max(args.utterances, 2))
    if args.json:
        print(json.dumps({**asdict(found), "checkpoint": str(found.checkpoint), "verdict": found.verdict}, indent=1))
        return 0
    where = f"{found.checkpoint}, " + ("" if found.step is None else f"step {found.step}, ")
    print(f"{where}{found.num_utterances} utterances\n")
    rows = [(one.severity, one.name, one.found, f"({one.expected})", one.verdict) for one in found.findings]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]))
    print(f"\n{found.verdict}")
    return 0
