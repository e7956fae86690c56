"""`tiny-audio trace`: one page that shows how a recording becomes text."""

import argparse
import sys
from pathlib import Path

HELP = "show how a recording becomes text, stage by stage, on one page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("audio", metavar="FILE", help="of any usual format, or - for standard input")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PAGE", default=Path("data_trace.html"), help="default: %(default)s"
    )
    parser.add_argument("--model", default="tiny-audio-base", help="name or checkpoint folder (default: %(default)s)")
    parser.add_argument("--start", type=float, metavar="S", help="of the part to show, in seconds")
    parser.add_argument("--duration", type=float, metavar="S", help="of that part, at most 30")


def run(args: argparse.Namespace) -> int:
    """Write the page and print its name."""
    from tiny_audio import atomic
    from tiny_audio.explain.clip import read_clip
    from tiny_audio.explain.loading import load_any_model
    from tiny_audio.explain.page.page import trace_page
    from tiny_audio.explain.tracing import trace_clip

    clip = read_clip(args.audio, start=args.start, duration=args.duration)
    if not clip.is_whole:
        end = clip.start + clip.duration
        print(
            f"tiny-audio: the page shows {clip.start:.2f} to {end:.2f} s; --start and --duration choose another part",
            file=sys.stderr,
        )
    trace = trace_clip(load_any_model(args.model), clip.waveform)
    atomic.write_text(args.output, trace_page(trace, clip, model=Path(args.model).name))
    print(args.output)
    return 0
