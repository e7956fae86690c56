"""`tiny-audio explore`: the tables and pictures of the course, computed on your own clip and model."""

import argparse
import sys
from pathlib import Path

from tiny_audio.explain.topics import TOPICS

HELP = "tables and pictures of what a model does, one topic at a time"
FORMATS = ("png", "svg", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    topics = "; ".join(f"{name}: {topic.help}" for name, topic in TOPICS.items())
    parser.add_argument("topic", choices=TOPICS, metavar="TOPIC", help=topics)
    parser.add_argument("audio", nargs="?", type=Path, metavar="FILE", help="of any format (default: an example clip)")
    parser.add_argument("--model", metavar="MODEL", help="name or checkpoint folder (default: tiny-audio-base)")
    parser.add_argument(
        "--encoder", action="append", metavar="NAME", help="model, hub id or folder; `encoders` takes several"
    )
    parser.add_argument("--projector", metavar="KIND", help="look at new weights of that kind, not at the model's own")
    parser.add_argument(
        "--rate", action="append", type=_rate, metavar="N", help="repeatable; audio: Hz, downsampling: frames a token"
    )
    parser.add_argument("--output-dir", type=Path, default=Path(), metavar="DIR", help="default: the folder you are in")
    parser.add_argument("--format", choices=FORMATS, default="png", help="of the pictures (default: %(default)s)")
    parser.add_argument("--no-pictures", action="store_true", help="the table alone")


def run(args: argparse.Namespace) -> int:
    """Print the table of the topic, then write its pictures."""
    topic = TOPICS[args.topic]
    given = {name for name in ("audio", "model", "encoder", "projector", "rate") if getattr(args, name) is not None}
    if odd := sorted(given - topic.takes):
        known = ", ".join(_spelled(name) for name in sorted(topic.takes)) or "none of these"
        return _wrong_usage(f"{args.topic} does not take {', '.join(map(_spelled, odd))}; it takes {known}")

    from importlib import import_module

    from tiny_audio.errors import OutputError
    from tiny_audio.explain.findings import Request
    from tiny_audio.explain.pictures import save_picture

    request = Request(
        audio=args.audio,
        model=args.model or Request.model,
        encoders=tuple(args.encoder or ()),
        projector=args.projector,
        rates=tuple(args.rate or ()),
    )
    findings = import_module(topic.module).explore(request)
    print(findings.text)
    if args.no_pictures:
        return 0
    for name, draw in findings.pictures.items():
        path = args.output_dir / f"{name}.{args.format}"
        try:
            save_picture(draw, path)
        except OSError as error:
            raise OutputError(str(path), error.strerror or str(error)) from error
        print(f"saved {path}", file=sys.stderr)
    return 0


def _spelled(name: str) -> str:
    return "FILE" if name == "audio" else f"--{name}"


def _wrong_usage(message: str) -> int:
    print(f"tiny-audio explore: error: {message}", file=sys.stderr)
    return 2


def _rate(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above zero")
    return int(text)
