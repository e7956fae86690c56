"""`tiny-audio adapt`: a model for one's own recordings, or for sentences that nobody has recorded yet."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_audio.cli.data_synth import voice_shares
from tiny_audio.errors import DatasetError

if TYPE_CHECKING:
    from tiny_audio.data.manifest import Utterance
    from tiny_audio.training.adaptation import Adaptation

HELP = "teach a model your recordings or words, and measure the gain"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", help="shipped model or checkpoint folder, such as tiny-audio-base")
    parser.add_argument("data", type=Path, help="manifest.jsonl of recordings, or a .txt of sentences, one a line")
    parser.add_argument("-o", "--output-dir", type=Path, required=True, help="gets model/, report.html; goes on there")
    parser.add_argument("--validation", type=Path, help="manifest to measure with (default: a fifth of the recordings)")
    parser.add_argument(
        "--voices",
        type=voice_shares,
        default={"hibari": 1.0},
        metavar="NAME:SHARE,...",
        help="that read sentences aloud, see `data synth` (default: hibari)",
    )
    parser.add_argument("--steps", type=int, help="of training (default: 240)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same model (default: 0)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Adapt; the table, the verdict and the folder of the model go to standard output."""
    import logging
    from dataclasses import replace

    import torch

    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.evaluation.report import write_report
    from tiny_audio.training.adaptation import AdaptConfig, adapt

    logging.getLogger("tiny_audio").handlers = [logging.StreamHandler(sys.stderr)]
    logging.getLogger("tiny_audio").setLevel(logging.INFO)
    if args.threads:
        torch.set_num_threads(args.threads)
    config = AdaptConfig(seed=args.seed)
    if args.steps:
        config = replace(config, steps=args.steps)
    validation = read_manifest(args.validation) if args.validation else None
    if args.data.suffix == ".txt":
        utterances, validation = _spoken(args, validation)
    else:
        utterances = read_manifest(args.data)
    adaptation = adapt(args.model, utterances, args.output_dir, validation=validation, config=config)
    for name, (before, after) in (("own", adaptation.own), ("general", adaptation.general)):
        write_report([before, after], args.output_dir / "report" / name, {"seed": args.seed})
    print(_table(adaptation))
    print(adaptation.model)
    return 0


def _spoken(
    args: argparse.Namespace, validation: "list[Utterance] | None"
) -> "tuple[list[Utterance], list[Utterance]]":
    """The sentences, read aloud; without recordings to measure with, a fifth of the sentences is kept for that."""
    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.data.synth import SynthConfig, synthesize
    from tiny_audio.data.texts import read_sentences
    from tiny_audio.training.adaptation import MIN_UTTERANCES

    sentences = read_sentences(args.data)
    parts = {"train": sentences} if validation else {"train": [*sentences], "dev": sentences[::5]}
    if not validation:
        del parts["train"][::5]
    if len(parts["train"]) < MIN_UTTERANCES:
        kept = "" if validation else ", a fifth of which is kept to measure with"
        raise DatasetError(f"'{args.data}' has {len(sentences)} sentences{kept}; expected {MIN_UTTERANCES} to train on")
    spoken = {}
    for part, texts in parts.items():
        folder = args.output_dir / "speech" / part
        synthesize(texts, folder, SynthConfig(voices=args.voices, count=len(texts), seed=args.seed))
        spoken[part] = read_manifest(folder / "manifest.jsonl")
    return spoken["train"], validation or spoken["dev"]


def _table(adaptation: "Adaptation") -> str:
    lines = [f"{'Word error rate':<18}{'before':>10}{'after':>10}"]
    for name, (before, after) in (("your recordings", adaptation.own), ("general speech", adaptation.general)):
        lines.append(f"{name:<18}{before.wer:>10.1%}{after.wer:>10.1%}")
    return "\n".join([*lines, adaptation.verdict])
