"""`tiny-audio train`: run a recipe on feature caches or manifests."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

HELP = "train a stage of a recipe: align, correct, speech_llm or ctc"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "stage", help="align: projector with CTC; correct: adapters and projector through the LLM; speech_llm, ctc"
    )
    parser.add_argument("--recipe", default="tiny_audio_base", help="the system, see `recipes` (default: %(default)s)")
    parser.add_argument(
        "--train",
        nargs="+",
        metavar="PATH",
        required=True,
        help="feature caches or manifests; PATH*3 shows one three times an epoch",
    )
    parser.add_argument("--validation", nargs="+", metavar="PATH", default=[], help="manifests to measure WER on")
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="run folder; an interrupted run continues")
    parser.add_argument("--init", metavar="DIR", help="checkpoint to start from")
    parser.add_argument("--set", nargs="+", metavar="NAME=VALUE", default=[], help="settings, e.g. optim.epochs=2")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Train; the best checkpoint's folder goes to standard output."""
    import logging

    import torch

    from tiny_audio.recipes import build_recipe
    from tiny_audio.training.config import apply_overrides
    from tiny_audio.training.loop import train

    logging.getLogger("tiny_audio").handlers = [logging.StreamHandler(sys.stderr)]
    logging.getLogger("tiny_audio").setLevel(logging.INFO)
    if args.threads:
        torch.set_num_threads(args.threads)
    config = apply_overrides(build_recipe(args.recipe).stage(args.stage), args.set)
    config = replace(config, train=tuple(args.train), validation=tuple(args.validation), init=args.init or config.init)
    finished = train(config, args.output_dir)
    chosen = finished.best if finished.best.is_dir() else finished.checkpoint
    print(chosen)
    print(f"metrics: {finished.path / 'metrics.jsonl'}", file=sys.stderr)
    return 0
