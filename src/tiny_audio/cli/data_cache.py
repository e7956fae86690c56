"""`tiny-audio data cache`: run the frozen encoder once over recordings and keep its output."""

import argparse
import json
import sys
from pathlib import Path

HELP = "store the encoder output of a manifest, for fast training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, nargs="+", help="JSON-lines manifest of utterances with text")
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="folder of the cache, made when missing")
    parser.add_argument("--recipe", default="tiny_audio_base", help="whose encoder (default: %(default)s)")
    parser.add_argument("--copies", type=int, default=1, help="versions of each utterance (default 1)")
    parser.add_argument("--augment", action="store_true", help="vary voice, room, noise and line of each copy")
    parser.add_argument("--seed", type=int, default=0, help="seed of the variation (default 0)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Fill the cache; exit code 1 when utterances had to be skipped."""
    import torch

    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.errors import ConfigError
    from tiny_audio.models.asr_config import ASRConfig
    from tiny_audio.models.encoders.build import build_encoder, encoder_fingerprint
    from tiny_audio.recipes import build_recipe
    from tiny_audio.training.feature_extraction import cache_features

    if args.threads:
        torch.set_num_threads(args.threads)
    utterances = [utterance for manifest in args.manifest for utterance in read_manifest(manifest)]
    model = build_recipe(args.recipe).model
    if not isinstance(model, ASRConfig):
        raise ConfigError([f"recipe '{args.recipe}' trains its encoder, so there is nothing to store"])
    config = model.encoder
    report = cache_features(
        utterances,
        build_encoder(config),
        args.output_dir,
        meta={"encoder": config.source, "encoder_sha256": encoder_fingerprint(config)},
        copies=args.copies,
        augmented=args.augment,
        seed=args.seed,
    )
    print(
        f"{report.stored} stored, {report.already_stored} already there, {len(report.skipped)} skipped", file=sys.stderr
    )
    if report.skipped:
        path = args.output_dir / "skipped.json"
        path.write_text(json.dumps(report.skipped, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"the reasons are in {path}", file=sys.stderr)
    return 1 if report.skipped else 0
