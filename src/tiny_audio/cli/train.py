"""`tiny-audio train`: run a recipe on feature caches, manifests or shards."""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

HELP = "train a stage of a recipe, such as align or correct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "stage", help="align: projector with CTC; correct: adapters and projector through the LLM; speech_llm, ..."
    )
    parser.add_argument("--recipe", default="tiny_audio_base", help="the system, see `recipes` (default: %(default)s)")
    parser.add_argument(
        "--train",
        nargs="+",
        metavar="PATH",
        required=True,
        help="feature caches, manifests or shards; PATH*3 shows one three times an epoch, PATH*0.2 a fifth of it",
    )
    parser.add_argument("--validation", nargs="+", metavar="PATH", default=[], help="manifests to measure WER on")
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="run folder; an interrupted run continues")
    parser.add_argument("--init", metavar="DIR", help="checkpoint to start from; align keeps its language model")
    parser.add_argument("--set", nargs="+", metavar="NAME=VALUE", default=[], help="settings, e.g. optim.epochs=2")
    parser.add_argument("--print-config", action="store_true", help="print all settings as JSON and do nothing")
    parser.add_argument(
        "--lr-range-test", action="store_true", help="find a learning rate in 100 steps; the run is not started"
    )
    parser.add_argument(
        "--trackers", default="", metavar="NAMES", help="tensorboard, wandb, trackio; several with commas between"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that read recordings ahead (default: none)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Train; the best checkpoint's folder goes to standard output."""
    from tiny_audio.recipes import build_recipe
    from tiny_audio.training.config import TrainConfig, apply_overrides

    stage = build_recipe(args.recipe).stage(args.stage)
    config: TrainConfig = apply_overrides(stage, args.set)
    config = replace(config, train=tuple(args.train), validation=tuple(args.validation), init=args.init or config.init)
    if args.print_config:
        print(json.dumps(asdict(config), indent=1))
        return 0

    import logging

    import torch

    from tiny_audio.training.loop import train
    from tiny_audio.training.lr_range import lr_range_test
    from tiny_audio.training.panel import Panel
    from tiny_audio.training.processes import Processes
    from tiny_audio.training.trackers import build_trackers

    logging.getLogger("tiny_audio").handlers = [logging.StreamHandler(sys.stderr)]
    logging.getLogger("tiny_audio").setLevel(logging.INFO)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.lr_range_test:
        print(lr_range_test(config, args.output_dir).table())
        return 0
    processes = Processes()
    trackers = build_trackers([name for name in args.trackers.split(",") if name])
    finished = train(config, args.output_dir, observers=[Panel(), *trackers], num_workers=args.workers)
    if processes.is_main:
        print(finished.best if finished.best.is_dir() else finished.checkpoint)
        print(f"metrics: {finished.path / 'metrics.jsonl'}", file=sys.stderr)
    processes.close()
    return 0
