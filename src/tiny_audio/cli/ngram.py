"""`tiny-audio ngram`: give a CTC checkpoint an n-gram model, which decodes with it from then on."""

import argparse
import sys
from pathlib import Path

HELP = "give a CTC recogniser an n-gram model of texts to decode with"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, help="checkpoint folder of `train ctc`; the n-gram model is kept in it")
    parser.add_argument("texts", type=Path, nargs="+", help="text files with a sentence a line, or manifests .jsonl")
    parser.add_argument("--order", type=int, default=5, help="units that are looked at together (default: %(default)s)")
    parser.add_argument("--weight", type=float, default=0.4, help="of its log-probability (default: %(default)s)")
    parser.add_argument("--unit-bonus", type=float, default=0.5, help="added for each unit (default: %(default)s)")
    parser.add_argument("--beams", type=int, default=8, help="texts that are kept in the search (default: %(default)s)")
    parser.add_argument("--held-out", type=Path, nargs="+", default=[], help="texts to measure the perplexity on")


def run(args: argparse.Namespace) -> int:
    """Train it; its files go to standard output."""
    from tiny_audio.errors import CheckpointError
    from tiny_audio.models.ctc_model import CTCModel, is_ctc_checkpoint
    from tiny_audio.models.shallow_fusion import ARPA_FILE, FusionConfig, ShallowFusion

    if args.beams < 1 or args.weight < 0:
        print("tiny-audio ngram: error: --beams must be 1 or more, --weight 0 or more", file=sys.stderr)
        return 2
    if not is_ctc_checkpoint(args.model):
        raise CheckpointError(f"'{args.model}' is no CTC recogniser; expected a checkpoint folder of `train ctc`")
    units = CTCModel.load(args.model).units
    config = FusionConfig(weight=args.weight, unit_bonus=args.unit_bonus, num_beams=args.beams)
    fusion = ShallowFusion.train(_sentences(args.texts), units, order=args.order, config=config)
    fusion.save(args.model)
    print(args.model / ARPA_FILE)
    names = units.names
    held_out = [text for text in _sentences(args.held_out) if not units.unknown_characters([text])]
    if held_out:
        encoded = [[names[unit] for unit in units.encode(text)] for text in held_out]
        print(f"perplexity a unit, on {len(held_out)} texts: {fusion.ngram.perplexity(encoded):.2f}", file=sys.stderr)
    return 0


def _sentences(paths: list[Path]) -> list[str]:
    """Texts of manifests, and lines of other files.

    Raises:
        DatasetError: a file cannot be read.
        ManifestError: a line of a manifest is none.
    """
    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.errors import DatasetError

    found: list[str] = []
    for path in paths:
        if path.suffix == ".jsonl":
            found += [utterance.text for utterance in read_manifest(path)]
            continue
        try:
            found += path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"cannot read '{path}': {error}; expected a text file") from error
    return [text for text in found if text.strip()]
