"""`tiny-audio data cache`: run the frozen encoder once over recordings and keep its output."""

import argparse
import json
import sys
from pathlib import Path

HELP = "store the encoder output of a manifest, for fast training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, nargs="*", help="JSON-lines manifest of utterances with text")
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="folder of the cache, made when missing")
    parser.add_argument("--recipe", default="tiny_audio_base", help="whose encoder (default: %(default)s)")
    parser.add_argument("--copies", type=int, default=1, help="versions of each utterance (default 1)")
    parser.add_argument("--augment", action="store_true", help="vary voice, room, noise and line of each copy")
    parser.add_argument("--seed", type=int, default=0, help="seed of the variation (default 0)")
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="this process's share of the work, such as 2/4; all fill the same folder",
    )
    parser.add_argument(
        "--verify", action="store_true", help="only read a finished cache again, to see if it is intact"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def _shard(text: str) -> tuple[int, int]:
    from tiny_audio.inference.jobs import parse_shard

    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Fill the cache; exit code 1 when utterances had to be skipped."""
    if bool(args.manifest) == args.verify:
        print("tiny-audio data cache: error: give manifests, or --verify alone", file=sys.stderr)
        return 2
    return _verify(args.output_dir) if args.verify else _fill(args)


def _verify(folder: Path) -> int:
    from tiny_audio.data.feature_cache import FeatureCache

    cache = FeatureCache(folder)
    unknown = cache.verify()
    hours = sum(utterance.duration for utterance in cache) / 3600
    print(f"{len(cache)} utterances, {hours:.2f} h, intact", file=sys.stderr)
    for name in unknown:
        print(f"{name}: of an older version, which kept no digest; only its size is known to be right", file=sys.stderr)
    return 0


def _fill(args: argparse.Namespace) -> int:
    import torch

    from tiny_audio import atomic
    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.models.asr_config import ASRConfig
    from tiny_audio.models.encoders.aut import aut_preset
    from tiny_audio.models.encoders.build import build_frozen_part, stored_meta
    from tiny_audio.recipes import build_recipe
    from tiny_audio.training.ctc_objective import log_mel_config
    from tiny_audio.training.feature_extraction import cache_features

    if args.threads:
        torch.set_num_threads(args.threads)
    utterances = [utterance for manifest in args.manifest for utterance in read_manifest(manifest)]
    model = build_recipe(args.recipe).model
    # A system that trains its encoder has its log-mel stored.
    config = model.encoder if isinstance(model, ASRConfig) else log_mel_config(aut_preset(model.preset))
    report = cache_features(
        utterances,
        build_frozen_part(config),
        args.output_dir,
        meta=stored_meta(config),
        copies=args.copies,
        augmented=args.augment,
        seed=args.seed,
        part=args.shard,
        announce=lambda line: print(line, file=sys.stderr),
    )
    print(
        f"{report.stored} stored, {report.already_stored} already there, {len(report.skipped)} skipped", file=sys.stderr
    )
    if report.skipped:
        number, count = args.shard
        path = args.output_dir / ("skipped.json" if count == 1 else f"skipped-{number}-of-{count}.json")
        atomic.write_text(path, json.dumps(report.skipped, indent=1, ensure_ascii=False) + "\n")
        print(f"the reasons are in {path}", file=sys.stderr)
    return 1 if report.skipped else 0
