"""The file that the Open ASR Leaderboard takes: raw references and answers; it normalises and counts itself."""

import json
from pathlib import Path

from tiny_audio import atomic
from tiny_audio.evaluation.datasets import EvaluationSet
from tiny_audio.evaluation.results import SystemResult


def write_submission(result: SystemResult, evaluated: EvaluationSet, folder: Path) -> Path:
    """Write `MODEL_<name>_DATASET_<repo>_<config>_<split>.jsonl`; utterances without words are left out, as there.

    Args:
        result: one system on one set.
        evaluated: that set; one of our own is named by its file alone.
        folder: where to.
    """
    public = evaluated.public
    dataset = f"{public.repo}_{public.config}_{public.split}" if public else Path(evaluated.name).stem
    path = folder / f"MODEL_{_file_name(result.name)}_DATASET_{_file_name(dataset)}.jsonl"
    rows = (
        {
            "audio_filepath": one.id,
            "duration": one.duration,
            "time": one.wall_seconds,
            "text": one.reference,
            "pred_text": one.hypothesis,
        }
        for one in (utterance.result for utterance in result.speech)
    )
    atomic.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def _file_name(name: str) -> str:
    return name.removesuffix(".jsonl").replace("/", "-")
