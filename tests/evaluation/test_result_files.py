import json

import pytest

from tiny_audio.evaluation.result_files import scores_of, write_json
from tiny_audio.evaluation.results import UtteranceResult
from tiny_audio.evaluation.scoring import build_scorer


def test_scores_are_all_numbers_of_a_system_as_plain_types(tmp_path):
    answers = [
        UtteranceResult(id="b", reference="red", hypothesis="red", duration=2.0, wall_seconds=0.5, draft="rat"),
        UtteranceResult(id="a", reference="green leaf", hypothesis="green leave", duration=1.0, wall_seconds=0.5),
        UtteranceResult(id="c", reference="sad", hypothesis="happy", task="emotion"),
    ]
    system = build_scorer().score_system("x", answers, dataset="y", settings={"commit": "1e6ec80"})

    write_json(tmp_path / "results.json", scores_of(system))

    scores = json.loads((tmp_path / "results.json").read_text())
    interval = scores.pop("wer_interval")
    assert 0 <= interval[0] <= scores["wer"] <= interval[1]
    assert scores == {
        "model": "x",
        "dataset": "y",
        "normalizer": system.normalizer,
        "scorer": system.scorer,
        "commit": "1e6ec80",
        "num_utterances": 2,
        "num_failed": 0,
        "wer": pytest.approx(1 / 3),
        "interval_unit": "utterance",
        "errors": 1,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 0,
        "reference_words": 3,
        "cer": pytest.approx(2 / 13),
        "sentence_error_rate": 0.5,
        "num_non_speech": 0,
        "invented_words": 0,
        "invented_words_per_minute": 0.0,
        "audio_seconds": 3.0,
        "wall_seconds": 1.0,
        "rtfx": 3.0,
        "draft_wer": 1.0,
        "relative_gain": pytest.approx(2 / 3),
        "emotion": {"accuracy": 0.0, "num_answers": 1, "confusions": [["sad", "", 1]]},
    }
