"""`tiny-audio data split`: train, dev and test with other speakers and other texts."""

import argparse
import sys
from pathlib import Path

HELP = "train, dev and test with other speakers and other texts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, help="JSON-lines manifest")
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="folder for train.jsonl, dev.jsonl, ...")
    parser.add_argument("--dev", type=_share, default=0.1, help="share of the duration (default 0.1; 0: none)")
    parser.add_argument("--test", type=_share, default=0.1, help="share of the duration (default 0.1; 0: none)")
    parser.add_argument(
        "--by",
        choices=["speaker", "text"],
        default="speaker",
        help="speaker: no speaker in two parts (default); text: no text in two parts, for one speaker",
    )
    parser.add_argument("--shared-texts", action="store_true", help="with --by speaker: texts may be in two parts")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same parts (default 0)")


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"found {text}; expected a share from 0 to below 1")
    return share


def run(args: argparse.Namespace) -> int:
    """Write a manifest for each part and print its path."""
    from tiny_audio.data.manifest import read_manifest, write_manifest
    from tiny_audio.data.split import split_utterances

    shares = {name: share for name, share in (("test", args.test), ("dev", args.dev)) if share}
    if not 0 < sum(shares.values()) < 1:
        print("tiny-audio data split: error: --dev and --test must leave something to train on", file=sys.stderr)
        return 2
    utterances = read_manifest(args.manifest)
    split = split_utterances(utterances, shares, seed=args.seed, by=args.by, shared_texts=args.shared_texts)
    left_out_path = args.output_dir / "left-out.jsonl"
    left_out_path.unlink(missing_ok=True)  # of a split before this one
    for name, part in split.parts.items():
        path = args.output_dir / f"{name}.jsonl"
        write_manifest(path, part)
        minutes = sum(utterance.duration for utterance in part) / 60
        num_speakers = len({utterance.speaker for utterance in part if utterance.speaker})
        print(f"{name}: {len(part)} utterances, {minutes:.1f} min, {num_speakers} speakers", file=sys.stderr)
        print(path)
    if split.left_out:
        write_manifest(left_out_path, split.left_out)
        print(
            f"{len(split.left_out)} left out, since another part has their texts: {left_out_path}; "
            "--shared-texts keeps them",
            file=sys.stderr,
        )
    return 0
