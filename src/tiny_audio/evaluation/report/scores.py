"""`results.json`: every number of a report; rates are fractions, times are seconds.

One system gives one object: the keys of `result_files.scores_of`, and

- `hallucinations`: check -> utterances that do not pass it (`hallucinations.CHECKS`)
- `buckets`: dimension -> list of `label`, `num_utterances`, `wer` and the counts of errors
- `frequent_errors`: `confusions` [said, understood, times], `deletions` and `insertions` [word, times]
- `speed`: list of `label`, `num_utterances`, `audio_seconds`, `wall_seconds`, `rtfx`

Several give `systems`, a list of such objects, and `comparisons` of each after the first with the first: `system`,
`baseline`, `difference` (of the rates), `interval`, `probability_of_improvement`. Both have `settings`, as the caller
gave them. `wall_seconds` and `rtfx` differ from run to run, nothing else does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tiny_audio.evaluation.bootstrap import Comparison
from tiny_audio.evaluation.report.analysis import SystemAnalysis
from tiny_audio.evaluation.report.buckets import Bucket
from tiny_audio.evaluation.result_files import scores_of


def scores_to_json(
    analyses: Sequence[SystemAnalysis], comparisons: Sequence[Comparison], settings: Mapping[str, object]
) -> dict[str, Any]:
    """Plain types for `results.json`; `comparisons` are of each further system with the first."""
    systems = [_system(analysis) for analysis in analyses]
    if len(systems) == 1:
        return {"settings": dict(settings)} | systems[0]
    return {
        "settings": dict(settings),
        "systems": systems,
        "comparisons": [
            {
                "system": analysis.system.name,
                "baseline": analyses[0].system.name,
                "difference": comparison.difference,
                "interval": [comparison.interval.low, comparison.interval.high],
                "probability_of_improvement": comparison.probability_of_improvement,
            }
            for analysis, comparison in zip(analyses[1:], comparisons, strict=True)
        ],
    }


def _system(analysis: SystemAnalysis) -> dict[str, Any]:
    return scores_of(analysis.system) | {
        "hallucinations": {key: analysis.hallucination_counts[key] for key in analysis.checks},
        "buckets": {
            dimension.key: [_errors(bucket) for bucket in buckets] for dimension, buckets in analysis.buckets.items()
        },
        "frequent_errors": asdict(analysis.frequent_errors),
        "speed": [_speed(bucket) for bucket in analysis.speed],
    }


def _errors(bucket: Bucket) -> dict[str, Any]:
    counts = bucket.counts
    return {
        "label": bucket.label,
        "num_utterances": bucket.num_utterances,
        "wer": counts.wer,
        "errors": counts.errors,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "reference_words": counts.reference_words,
    }


def _speed(bucket: Bucket) -> dict[str, Any]:
    return {
        "label": bucket.label,
        "num_utterances": bucket.num_utterances,
        "audio_seconds": bucket.audio_seconds,
        "wall_seconds": bucket.wall_seconds,
        "rtfx": bucket.rtfx,
    }
