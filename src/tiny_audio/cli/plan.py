"""`tiny-audio plan`: how far a run gets in a given time and memory, from a few measured steps."""

import argparse
import json
import re
import shlex
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiny_audio.recipes.recipe import Recipe
    from tiny_audio.training.config import TrainConfig

HELP = "steps, memory, time and cost of a run, from a measured probe"
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_BYTES = {"M": 1e6, "G": 1e9, "T": 1e12}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recipe", metavar="RECIPE", help="the system, see `recipes`")
    parser.add_argument("--stage", help="of its training (default: the first)")
    parser.add_argument("--train", nargs="+", metavar="PATH", required=True, help="feature caches or manifests")
    parser.add_argument("--time", type=_time, required=True, metavar="TIME", help="such as 45m or 2h")
    parser.add_argument("--gpu-mem", type=_bytes, metavar="SIZE", help="such as 24G (default: that of this machine)")
    parser.add_argument("--price-per-hour", type=float, metavar="X", help="of the machine")
    parser.add_argument("--init", metavar="DIR", help="checkpoint to start from")
    parser.add_argument("--set", nargs="+", metavar="NAME=VALUE", default=[], help="settings, as for `train`")
    parser.add_argument(
        "--utterances", type=int, default=64, metavar="N", help="to measure with (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print the plan; exit code 1 when time or memory do not allow a single step."""
    from dataclasses import asdict, replace

    from tiny_audio.errors import WeightsError
    from tiny_audio.recipes import build_recipe
    from tiny_audio.recipes.recipe import training_memory
    from tiny_audio.training.budget import Budget, measure_stage, plan_training
    from tiny_audio.training.config import apply_overrides

    recipe = build_recipe(args.recipe)
    stage = args.stage or next(iter(recipe.stages))
    config = apply_overrides(recipe.stage(stage), args.set)
    config = replace(config, train=tuple(args.train), init=args.init or config.init)
    counted = training_memory(_parameters(recipe, config))
    available = args.gpu_mem or _machine_memory()
    budget = Budget(time=args.time, memory=int(available), price_per_hour=args.price_per_hour)
    if counted > 0.8 * _machine_memory():
        return _report_counts(args, stage, counted, "it is too large to be built on this machine")
    try:
        measured, corpus = measure_stage(config, num_utterances=args.utterances)
    except WeightsError as error:
        return _report_counts(args, stage, counted, str(error))
    plan = plan_training(measured, corpus, config, budget)
    command = _command(args, stage, plan.settings(config))
    if args.json:
        values = {"plan": asdict(plan), "probe": asdict(measured), "corpus": asdict(corpus), "command": command}
        print(json.dumps(values, indent=1))
        return 0 if plan.fits else 1
    from tiny_audio.training.panel import format_time

    hours = corpus.duration / 3600
    ends = datetime.now() + timedelta(seconds=plan.total_time)
    share = f"{plan.epochs:.3g} epochs, {'cut by the time' if plan.is_cut else 'all that the recipe asks for'}"
    at_once = "whole steps at once" if not plan.micro_batch else f"{plan.micro_batch:.0f} s of audio at once"
    rows = {
        "data": f"{corpus.num_utterances} utterances, {hours:.3g} h",
        "measured on": measured.device,
        "steps": f"{plan.max_steps} of {measured.step_duration:.0f} s of audio in {measured.step_time:.2g} s ({share})",
        "audio seen": f"{plan.audio / 3600:.3g} h at {measured.speed:.3g} x real time",
        "batch": at_once if plan.micro_batch >= 0 else "not even 1 s of audio fits the memory",
        "memory": f"{plan.memory / 1e9:.2f} of {available / 1e9:.1f} GB: weights and optimizer "
        f"{measured.state_bytes / 1e9:.2f}, a step {(plan.memory - measured.state_bytes) / 1e9:.2f}",
        "features": f"{corpus.features_bytes / 1e9:.2f} GB on disk, {format_time(plan.encoding_time)} to make"
        if corpus.features_bytes
        else "not stored: the encoder is trained",
        "time": f"{format_time(plan.total_time)} of {format_time(args.time)}, until about {ends:%H:%M}",
    }
    if plan.cost is not None:
        rows["cost"] = f"{plan.cost:.3g}, at {args.price_per_hour:g} an hour"
    for name, text in rows.items():
        print(f"{name:12} {text}")
    if args.gpu_mem and not measured.is_gpu:
        print("\nThis machine has no GPU: a GPU is faster, and needs about half of a step's memory in bfloat16.")
    print(f"\n{command}")
    return 0 if plan.fits else 1


def _parameters(recipe: "Recipe", config: "TrainConfig") -> Any:
    """Counted for the stage, not for the finished system."""
    from tiny_audio.models.asr_config import ASRConfig
    from tiny_audio.models.modules import count_parameters

    return count_parameters(config.model) if isinstance(config.model, ASRConfig) else recipe.count_parameters()


def _report_counts(args: argparse.Namespace, stage: str, counted: int, reason: str) -> int:
    """What can be said without a measurement."""
    command = _command(args, stage, [])
    if args.json:
        print(json.dumps({"state_bytes": counted, "not_measured": reason, "command": command}, indent=1))
        return 0
    print(f"weights and optimizer {counted / 1e9:.2f} GB, counted; activations on top")
    print(f"not measured: steps, batch, time and activations, since {reason}")
    print(f"\n{command}")
    return 0


def _command(args: argparse.Namespace, stage: str, settings: list[str]) -> str:
    words = ["tiny-audio", "train", stage, "--recipe", args.recipe, "--train", *args.train]
    words += ["--init", args.init] if args.init else []
    words += ["--set", *args.set, *settings] if args.set or settings else []
    return shlex.join([*words, "-o", f"runs/{stage}"])


def _machine_memory() -> float:
    """Bytes of the GPU, or else of the machine."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    return float(psutil.virtual_memory().total)


def _time(text: str) -> float:
    return _number(text, _SECONDS, "2h, 45m or 90s")


def _bytes(text: str) -> float:
    return _number(text.removesuffix("B").removesuffix("i"), _BYTES, "24G or 800M")


def _number(text: str, units: dict[str, Any], example: str) -> float:
    found = re.fullmatch(r"(\d+\.?\d*)\s*([A-Za-z]+)", text)
    if found is None or found[2] not in units or not float(found[1]):
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a number and a unit, such as {example}")
    return float(found[1]) * float(units[found[2]])
