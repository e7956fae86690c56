"""The scores of a system as plain types, for `results.json`; rates are fractions."""

import json
from pathlib import Path
from typing import Any

from tiny_audio import atomic
from tiny_audio.evaluation.results import SystemResult


def scores_of(result: SystemResult) -> dict[str, Any]:
    """All numbers of one system, for `results.json`."""
    counts = result.counts
    interval = result.wer_interval
    scores: dict[str, Any] = {
        "model": result.name,
        "dataset": result.dataset,
        "normalizer": result.normalizer,
        "scorer": result.scorer,
        **result.settings,
        "num_utterances": len(result.utterances),
        "num_failed": len(result.failures),
        "wer": counts.wer,
        "wer_interval": [interval.low, interval.high],
        "interval_unit": result.interval_unit,
        "errors": counts.errors,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "reference_words": counts.reference_words,
        "cer": result.cer,
        "sentence_error_rate": result.sentence_error_rate,
        "num_non_speech": len(result.non_speech),
        "invented_words": result.invented_words,
        "invented_words_per_minute": result.invented_words_per_minute,
        "audio_seconds": result.audio_seconds,
        "wall_seconds": result.wall_seconds,
        "rtfx": result.rtfx,
    }
    if result.has_draft:
        scores |= {"draft_wer": result.draft_counts.wer, "relative_gain": result.relative_gain}
    if result.median_word_time_error is not None:
        scores["median_word_time_error"] = result.median_word_time_error
    for task in result.tasks:
        confusions = [[*pair, count] for pair, count in sorted(task.confusions.items())]
        scores[task.task] = {"accuracy": task.accuracy, "num_answers": task.num_answers, "confusions": confusions}
    return scores


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    atomic.write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
