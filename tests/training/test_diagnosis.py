"""A verdict for every disease, on models and metrics that have it, and none on healthy ones."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_audio.data.batch import TrainingExample
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.training import findings
from tiny_audio.training.diagnosis import judge_inspection
from tiny_audio.training.findings import Finding, judge_history, worst
from tiny_audio.training.history import RunHistory
from tiny_audio.training.inspection import inspect
from tiny_audio.training.objective import Objective
from word_systems import train_words, word_cache, word_examples, word_objective

STEPS = {"align": 120, "correct": 100, "speech_llm": 150}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return word_cache(tmp_path_factory.mktemp("words") / "cache")


@pytest.fixture(scope="module")
def trained(cache: FeatureCache) -> Callable[[str], Objective]:
    """A trained objective of that stage; each call gives a copy."""
    kept: dict[str, Objective] = {}

    def of(stage: str) -> Objective:
        if stage not in kept:
            kept[stage] = word_objective(stage)
            train_words(kept[stage], word_examples(cache, kept[stage]), stage, steps=STEPS[stage])
        return copy.deepcopy(kept[stage])

    return of


def verdicts(objective: Objective, cache: FeatureCache) -> dict[str, Finding]:
    return {one.name: one for one in judge_inspection(inspect(objective, word_examples(cache, objective)))}


@pytest.mark.parametrize("stage", STEPS)
def test_a_trained_model_is_healthy(stage: str, trained: Callable[[str], Objective], cache: FeatureCache):
    found = verdicts(trained(stage), cache)
    assert worst(one for one in found.values() if not one.name.startswith("gradient")) is None, found
    kinds = {"align": ["ctc"], "correct": ["ctc", "llm"], "speech_llm": ["llm"]}[stage]
    assert [name for name in found if name.startswith("audio gap")] == [f"audio gap ({kind})" for kind in kinds]


@pytest.mark.parametrize("stage", STEPS)
def test_a_projector_of_zeros_ignores_the_audio(stage: str, trained: Callable[[str], Objective], cache: FeatureCache):
    objective = trained(stage)
    for parameter in objective.model.projector.parameters():
        torch.nn.init.zeros_(parameter)
    found = verdicts(objective, cache)
    gap = found["audio gap (ctc)" if stage == "align" else "audio gap (llm)"]
    assert gap.severity == "ill"
    assert "ignores the audio: loss with the right recording" in gap.verdict
    if stage == "speech_llm":
        assert "output is zero" in found["output scale"].verdict


def test_texts_of_other_recordings_teach_nothing_about_the_audio(tmp_path: Path):
    many = word_cache(tmp_path / "cache", num_utterances=500)
    objective = word_objective("align")
    by_length: dict[int, list[TrainingExample]] = {}
    for example in word_examples(many, objective):
        by_length.setdefault(example.num_frames, []).append(example)
    shuffled = []
    for group in by_length.values():
        labels = random.Random(0).sample([one.labels for one in group], len(group))
        shuffled += [replace(one, labels=row) for one, row in zip(group, labels, strict=True)]
    train_words(objective, shuffled, "align", steps=40)
    inspected = inspect(objective, word_examples(many, objective)[:32])
    assert {one.name: one.severity for one in judge_inspection(inspected)}["audio gap (ctc)"] == "ill"


@pytest.mark.parametrize(("factor", "advice"), [(50.0, "lower"), (0.02, "raise")])
def test_an_output_of_the_wrong_loudness_is_named(
    factor: float, advice: str, trained: Callable[[str], Objective], cache: FeatureCache
):
    objective = trained("speech_llm")
    objective.model.projector.scale_output(factor)
    found = verdicts(objective, cache)["output scale"]
    assert found.severity == "ill"
    assert f"{advice} model.projector.output_scale" in found.verdict


def test_a_ctc_that_only_writes_blanks_is_named(trained: Callable[[str], Objective], cache: FeatureCache):
    objective = trained("align")
    objective.model.projector.blank.bias.data.fill_(1e4)
    found = verdicts(objective, cache)
    assert "all blank" in found["blank rate"].verdict
    assert found["empty answers"].found == "100%"
    assert {found[name].severity for name in ("blank rate", "empty answers", "nearest tokens")} == {"ill"}


def test_a_projector_that_always_says_the_same_is_collapsed(trained: Callable[[str], Objective], cache: FeatureCache):
    objective = trained("speech_llm")
    constant_E = objective.model.table_VE[3]
    objective.model.projector.register_forward_hook(lambda *called: 0 * called[-1] + constant_E)
    assert "collapsed" in verdicts(objective, cache)["nearest tokens"].verdict


def test_a_part_that_no_gradient_reaches_is_named(cache: FeatureCache):
    objective = word_objective("align")
    objective.model.projector.unused = torch.nn.Linear(2, 2)
    objective.model.head = torch.nn.Linear(2, 2)
    found = verdicts(objective, cache)
    assert found["gradient (projector)"].severity == "healthy"
    assert found["gradient (head)"].verdict == "no gradient reaches the head: it cannot learn"


def test_looking_changes_nothing(trained: Callable[[str], Objective], cache: FeatureCache):
    objective = trained("correct")
    before = {name: tensor.clone() for name, tensor in objective.trained_state().items()}
    assert inspect(objective, word_examples(cache, objective)) == inspect(objective, word_examples(cache, objective))
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.trained_state().items())
    assert all(parameter.grad is None for parameter in objective.parameters())


# What the metrics alone tell.


def history_of(losses: Sequence[float], **others: float | Sequence[float]) -> RunHistory:
    """A line every 20 steps."""
    history = RunHistory()
    for index, loss in enumerate(losses):
        rest = {name: value if isinstance(value, float) else value[index] for name, value in others.items()}
        history.add(20 * (index + 1), {"loss": loss, "learning_rate": 1e-3} | rest)
    return history


def noisy(level: Callable[[int], float], count: int = 40) -> list[float]:
    rng = random.Random(0)
    return [level(index) * rng.uniform(0.9, 1.1) for index in range(count)]


FALLING = noisy(lambda index: 5 / (1 + 0.2 * index))


@pytest.mark.parametrize(
    ("history", "name", "severity", "words"),
    [
        (history_of(FALLING), "progress", "healthy", "the loss falls"),
        (history_of(noisy(lambda index: 2.0)), "progress", "watch", "flat since step"),
        (
            history_of(noisy(lambda index: 2.0), learning_rate=[1e-3] * 20 + [1e-6] * 20),
            "progress",
            "healthy",
            "as the schedule ends",
        ),
        (history_of(noisy(lambda index: 1 + abs(index - 20) / 10)), "progress", "ill", "the loss rises"),
        (history_of(FALLING, learning_rate=0.0), "learning rate", "ill", "nothing is learnt"),
        (history_of(FALLING, learning_rate=[5e-4 * n / 40 for n in range(40)]), "learning rate", "healthy", "warming"),
        (history_of(FALLING, learning_rate=[1e-3] * 39 + [1e-7]), "learning rate", "healthy", "end of its schedule"),
        (history_of(FALLING, wait_time=0.05, step_time=1.0), "data wait", "healthy", "in time"),
        (history_of(FALLING, wait_time=0.45, step_time=1.0), "data wait", "ill", "waits 45% of the time"),
        (history_of(FALLING, **{"grad_norm/projector": 0.0}), "gradient (projector)", "ill", "no gradient reaches"),
        (history_of(FALLING, **{"grad_norm/llm": 5e4}), "gradient (llm)", "watch", "far too much"),
    ],
)
def test_verdicts_on_metrics(history: RunHistory, name: str, severity: str, words: str):
    found = {one.name: one for one in judge_history(history, peak=1e-3)}[name]
    assert (found.severity, words in found.verdict) == (severity, True), found


@pytest.mark.parametrize(
    ("wers", "severity", "words"),
    [
        ([0.5, 0.3, 0.2], "healthy", "at its best"),
        ([0.5, 0.2, 0.21], "healthy", "best 20.0% at step 200"),
        ([0.5, 0.2, 0.26], "watch", "overfitting"),
        ([0.5, 0.2, 0.4], "ill", "overfitting"),
        ([1.0, 1.0, 1.0], "watch", "nearly all words are wrong"),
    ],
)
def test_verdicts_on_validation(wers: list[float], severity: str, words: str):
    found = findings.validation("wer/words", [(100 * (index + 1), wer) for index, wer in enumerate(wers)])
    assert (found.severity, words in found.verdict) == (severity, True), found


@pytest.mark.parametrize(
    ("train", "unseen", "severity"),
    [(1.0, 1.2, "healthy"), (0.01, 0.03, "healthy"), (0.3, 1.0, "watch"), (0.1, 3, "ill")],
)
def test_a_gap_between_training_and_other_data_is_overfitting(train: float, unseen: float, severity: str):
    assert findings.generalisation([train], [unseen]).severity == severity


@pytest.mark.parametrize(("count", "severity"), [(0, "healthy"), (4, "healthy"), (20, "watch"), (200, "ill")])
def test_infeasible_targets_are_judged_by_their_share(count: int, severity: str):
    assert findings.infeasible(count, 1000).severity == severity


def test_a_gap_that_may_be_chance_is_none():
    right = [1.0, 2.0, 3.0, 4.0]
    assert findings.audio_gap("llm", right, [3.0, 1.0, 4.5, 3.0]).severity == "ill"
    assert findings.audio_gap("llm", right, [value + 0.4 for value in right]).severity == "watch"
    assert findings.audio_gap("llm", right, [value + 4.0 for value in right]).severity == "healthy"


def test_the_metrics_of_a_run_that_is_going_on_are_read_up_to_the_last_whole_line(tmp_path: Path):
    lines = [json.dumps({"step": step, "loss": 1.0 / step}) + "\n" for step in (20, 40)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines) + '{"step": 60, "lo')
    assert RunHistory.read(tmp_path / "metrics.jsonl").series("loss") == [(20, 0.05), (40, 0.025)]
    assert RunHistory.read(tmp_path / "none.jsonl").series("loss") == []
