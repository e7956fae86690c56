"""`tiny-audio leaderboard`: one page that ranks many evaluations."""

import argparse
from pathlib import Path

HELP = "rank evaluations of many models on one page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="PATH", help="results.json files, or folders that hold some"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="Markdown (default: standard output)")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from tiny_audio import atomic
    from tiny_audio.evaluation.leaderboard_page import format_page, read_entries

    page = format_page(read_entries(args.results))
    if args.output:
        atomic.write_text(args.output, page)
    else:
        print(page, end="")
    return 0
