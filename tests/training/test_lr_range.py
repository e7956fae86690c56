"""The range test: it finds a rate that learns, sees where the loss breaks out, and leaves a file and nothing else."""

import json
import math
from pathlib import Path

import pytest

from tiny_audio.training import lr_range
from tiny_audio.training.lr_range import HIGHEST, LOWEST, LRPoint, judge_sweep, lr_range_test, sweep
from word_systems import (
    saved_word_config,
    train_words,
    word_cache,
    word_config,
    word_examples,
    word_objective,
    word_stream,
)


def curve(losses: list[float]) -> list[LRPoint]:
    rates = [LOWEST * (HIGHEST / LOWEST) ** (index / 99) for index in range(len(losses))]
    return [
        LRPoint(step=index + 1, learning_rate=rate, loss=loss)
        for index, (rate, loss) in enumerate(zip(rates, losses, strict=True))
    ]


def test_the_suggestion_is_where_the_loss_falls_steepest():
    falling = [5 - 4 / (1 + math.exp(-(index - 60) / 5)) for index in range(90)]  # steepest at step 60
    found = judge_sweep(curve([*falling, 2.0, 4.0]), has_broken_out=True)
    assert found.suggestion == pytest.approx(LOWEST * (HIGHEST / LOWEST) ** (60 / 99), rel=0.3)
    assert found.breakout == found.points[-1].learning_rate
    assert f"optim.learning_rate={found.suggestion:.1e}" in found.table()
    assert f"breaks out at {found.breakout:.1e}" in found.table()


def test_what_happens_before_the_loss_falls_for_good_is_chance():
    restless = [6.0, *[5.0, 5.3] * 25, *[5 - 0.1 * index for index in range(45)]]
    found = judge_sweep(curve(restless), has_broken_out=False)
    assert found.suggestion is not None
    assert found.suggestion >= found.points[51].learning_rate


@pytest.mark.parametrize("losses", [[5.0] * 100, [5.0 + 0.01 * index for index in range(100)], [5.0], []])
def test_a_loss_that_does_not_fall_gives_no_suggestion(losses: list[float]):
    found = judge_sweep(curve(losses), has_broken_out=False)
    assert found.suggestion is None
    assert "falls nowhere" in found.table()


def test_what_is_suggested_learns(tmp_path: Path):
    cache, config = word_cache(tmp_path / "cache"), word_config("align", learning_rate=1.0)
    objective = word_objective("align")
    found = sweep(objective, word_stream(word_examples(cache, objective), config), config)
    assert found.points[0].learning_rate == pytest.approx(LOWEST)
    assert found.suggestion is not None
    assert 1e-4 < found.suggestion < 5e-2

    def loss_after(rate: float) -> float:
        learner = word_objective("align")
        examples = word_examples(cache, learner)
        train_words(learner, examples, "align", steps=30, learning_rate=rate)
        stream = word_stream(examples, config)
        return learner(*stream.micro_batches(0), stream.step(0)).loss.item()

    assert loss_after(found.suggestion) < 0.7 * loss_after(found.suggestion / 100)


def test_a_rate_that_is_too_high_breaks_out_and_ends_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lr_range, "HIGHEST", 100.0)
    cache, config = word_cache(tmp_path / "cache"), word_config("align")
    objective = word_objective("align")
    found = sweep(objective, word_stream(word_examples(cache, objective), config), config)
    assert len(found.points) < 100
    assert found.suggestion is not None
    assert found.breakout is not None
    assert found.suggestion < found.breakout


def test_of_a_configuration_it_writes_the_points_and_no_checkpoint(tmp_path: Path):
    word_cache(tmp_path / "cache", num_utterances=6)
    config = saved_word_config(tmp_path, max_batch_duration=2.0)
    config = type(config)(**{**vars(config), "train": (str(tmp_path / "cache"),)})
    found = lr_range_test(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "lr_range.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == [point.learning_rate for point in found.points]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"lr_range.jsonl"}
