"""`tiny-audio data import`: a manifest of a corpus, whatever its format."""

import argparse
import sys
from pathlib import Path

HELP = "make a manifest of a corpus, whatever its format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "format",
        nargs="?",
        default="auto",
        help="nemo, lhotse, kaldi, common-voice, ljspeech, librispeech, audiofolder, csv, parquet, webdataset, pairs, "
        "hub; by default what it looks like",
    )
    parser.add_argument("path", type=Path, help="file or folder of the corpus, or hf:OWNER/NAME on the hub")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="manifest to write; audio out of tables goes beside it"
    )
    parser.add_argument("--split", default="", help="which part, where there are several, such as train")
    parser.add_argument("--config", default="", help="which variant of a set on the hub")
    parser.add_argument(
        "--column",
        type=_column,
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="column of a table that holds audio, text, id, speaker, ..., if its name does not tell",
    )
    parser.add_argument("--max-utterances", type=_positive, metavar="N", help="stop after the first N")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _column(text: str) -> tuple[str, str]:
    field, separator, name = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"found '{text}'; expected FIELD=NAME, such as text=sentence")
    return field, name


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}; expected 1 or more")
    return number


def run(args: argparse.Namespace) -> int:
    """Write the manifest and print its path; exit code 1 when something had to be skipped."""
    import json
    from itertools import islice

    from tqdm import tqdm

    from tiny_audio import atomic
    from tiny_audio.data.corpora.corpus import ReadOptions
    from tiny_audio.data.corpora.importer import import_entries, open_corpus
    from tiny_audio.data.manifest import write_manifest
    from tiny_audio.errors import DatasetError

    options = ReadOptions(split=args.split, config=args.config, columns=dict(args.column))
    entries = islice(open_corpus(args.path, format_name=args.format, options=options), args.max_utterances)
    with tqdm(entries, unit="utt", file=sys.stderr, disable=True if args.quiet else None) as bar:
        report = import_entries(bar, args.output.with_name(f"{args.output.stem}-audio"))
    if not report.utterances:
        reason = f": {report.skipped[0].where}: {report.skipped[0].reason}" if report.skipped else ""
        raise DatasetError(f"'{args.path}' gave no utterance, {len(report.skipped)} were skipped{reason}")
    write_manifest(args.output, report.utterances)
    hours = sum(utterance.duration for utterance in report.utterances) / 3600
    print(f"{len(report.utterances)} utterances, {hours:.2f} h", file=sys.stderr)
    if report.renamed:
        print(f"{report.renamed} ids were taken already and got a number", file=sys.stderr)
    skipped_path = args.output.with_suffix(".skipped.jsonl")
    skipped_path.unlink(missing_ok=True)  # of an import before this one
    if report.skipped:
        atomic.write_text(
            skipped_path, "".join(json.dumps(vars(one), ensure_ascii=False) + "\n" for one in report.skipped)
        )
        print(f"{len(report.skipped)} skipped, with the reasons in {skipped_path}", file=sys.stderr)
    print(args.output)
    return 1 if report.skipped else 0
