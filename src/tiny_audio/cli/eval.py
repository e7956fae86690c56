"""`tiny-audio eval`: word error rate, errors by kind and speed of a model on a manifest."""

import argparse
from pathlib import Path

HELP = "word error rate of a model on a manifest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", default="tiny-audio-base", help="checkpoint folder (default: %(default)s)"
    )
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="JSON lines with id, audio, duration and text")
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="write results.json and results.jsonl there")
    parser.add_argument("--limit", type=_positive, metavar="N", help="score the first N utterances only")
    parser.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Print the scores; exit code 1 when audio could not be used."""
    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.errors import ManifestError

    utterances = read_manifest(args.manifest)[: args.limit]  # before the slow imports: a wrong path shows at once
    if not utterances:
        raise ManifestError(str(args.manifest), None, "holds no utterances; expected one JSON object a line")

    import torch

    from tiny_audio.evaluation.evaluate import evaluate, format_report, write_report
    from tiny_audio.inference.transcriber import Transcriber

    if args.threads:
        torch.set_num_threads(args.threads)
    transcriber = Transcriber.from_pretrained(args.model)
    report = evaluate(transcriber, utterances, show_progress=True)
    if args.output_dir:
        write_report(report, args.output_dir, model=args.model, manifest=str(args.manifest))
    print(format_report(report))
    return 1 if report.unreadable else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}; expected 1 or more")
    return number
