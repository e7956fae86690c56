"""`tiny-audio leaderboard`: one page that ranks many evaluations."""

import argparse
import sys
from pathlib import Path

HELP = "rank evaluations of many models on one page"
_ADD = "add"
_BOARD = Path("docs/leaderboard.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="PATH",
        help=f"results.json files, or folders that hold some; with `{_ADD}` before them they are kept beside the page",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"Markdown (default: standard output; with `{_ADD}` {_BOARD}, its results in {_BOARD.with_suffix('')}/)",
    )
    added = parser.add_argument_group(f"with `leaderboard {_ADD} PATH`, what the results do not say themselves")
    added.add_argument("--model", nargs="+", metavar="NAME", help="which of those in the files; all by default")
    added.add_argument("--hardware", metavar="TEXT", help="what the speed was measured on")
    added.add_argument("--training-hours", type=float, metavar="H", help="audio that the model was trained on")
    added.add_argument("--cost", type=float, metavar="USD", help="of the training, in US dollars")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from tiny_audio import atomic
    from tiny_audio.evaluation.leaderboard_page import format_page, read_entries

    if args.results[0] == Path(_ADD):
        return _add(args)
    if any(value is not None for value in (args.model, args.hardware, args.training_hours, args.cost)):
        print(
            f"tiny-audio: error: --hardware, --training-hours and --cost are for `leaderboard {_ADD}`", file=sys.stderr
        )
        return 2
    page = format_page(read_entries(args.results))
    if args.output:
        atomic.write_text(args.output, page)
    else:
        print(page, end="")
    return 0


def _add(args: argparse.Namespace) -> int:
    from tiny_audio.evaluation.leaderboard_submissions import add_to_board

    if len(args.results) == 1:
        print(
            f"tiny-audio: error: `leaderboard {_ADD}` needs a results.json, or a folder that holds one", file=sys.stderr
        )
        return 2
    page = args.output or _BOARD
    added = add_to_board(
        args.results[1:],
        page,
        models=args.model or (),
        hardware=args.hardware or "",
        training_hours=args.training_hours,
        cost=args.cost,
    )
    for path in [*added, page]:
        print(path)
    return 0


def _wrong_usage(problem: str) -> int:
    print(f"tiny-audio: error: {problem}", file=sys.stderr)
    return 2
