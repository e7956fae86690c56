"""`tiny-audio data stats`: what there is in manifests."""

import argparse
import sys
from pathlib import Path

HELP = "hours, speakers, durations and words of manifests"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, nargs="+", help="JSON-lines manifests, counted together")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="speakers and words to name (default 10)")
    parser.add_argument("--no-audio", action="store_true", help="open no recording: without sample rates")
    parser.add_argument("--json", action="store_true", help="print all counts as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the counts."""
    import json

    from tqdm import tqdm

    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.data.stats import corpus_stats, count_sample_rates, format_stats

    utterances = [utterance for manifest in args.manifest for utterance in read_manifest(manifest)]
    recordings = [] if args.no_audio else list(dict.fromkeys(utterance.audio for utterance in utterances))
    with tqdm(recordings, unit="file", file=sys.stderr, disable=None) as bar:
        rates = count_sample_rates(bar)
    stats = corpus_stats(utterances, sample_rates=rates)
    print(json.dumps(vars(stats), ensure_ascii=False) if args.json else format_stats(stats, max_named=args.top))
    return 0
