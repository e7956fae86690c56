"""Plans: arithmetic on a made-up probe, and real probes of tiny systems."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_audio.training.budget import Budget, Corpus, measure_stage, plan_training
from tiny_audio.training.config import OptimConfig
from tiny_audio.training.probe import Probe, peak_memory, probe
from word_systems import saved_word_config, word_cache, word_config, word_examples, word_objective

MEGABYTE = 1_000_000
PROBE = Probe(
    device="made up",
    is_gpu=False,
    step_duration=100.0,
    step_time=2.0,
    state_bytes=500 * MEGABYTE,
    fixed_bytes=100 * MEGABYTE,
    bytes_per_second=10 * MEGABYTE,
    fitted=110.0,
)
CORPUS = Corpus(num_utterances=1000, duration=5000.0, features_bytes=0)
CONFIG = replace(word_config("align"), optim=OptimConfig(max_batch_duration=110.0, epochs=10.0, warmup_steps=200))


def test_the_recipe_is_cut_where_the_time_ends():
    plan = plan_training(PROBE, CORPUS, CONFIG, Budget(time=1000.0))
    assert (plan.max_steps, plan.is_cut) == (450, True)  # 2 s a step, and a tenth for the rest
    assert plan.audio == 45_000
    assert plan.epochs == 9
    assert plan.total_time == pytest.approx(1000.0)


def test_more_time_than_the_recipe_asks_for_is_not_used():
    plan = plan_training(PROBE, CORPUS, CONFIG, Budget(time=100_000.0, price_per_hour=3.6))
    assert (plan.max_steps, plan.is_cut) == (500, False)  # 10 epochs of 50 steps
    assert plan.total_time == pytest.approx(1000 / 0.9)
    assert plan.cost == pytest.approx(1000 / 0.9 / 1000)


def test_encoding_takes_its_time_first():
    plan = plan_training(PROBE, replace(CORPUS, encoding_time=800.0), CONFIG, Budget(time=1000.0))
    assert plan.max_steps == 50
    assert not plan_training(PROBE, replace(CORPUS, encoding_time=950.0), CONFIG, Budget(time=1000.0)).fits


@pytest.mark.parametrize(
    ("gigabytes", "micro_batch", "fits"),
    [(2.0, 0.0, True), (1.0, 30.0, True), (0.7, 3.0, True), (0.6, -1.0, False)],
)
def test_the_micro_batch_is_what_the_memory_has_room_for(gigabytes: float, micro_batch: float, fits: bool):
    plan = plan_training(PROBE, CORPUS, CONFIG, Budget(time=1000.0, memory=int(gigabytes * 1000 * MEGABYTE)))
    assert (plan.micro_batch, plan.fits) == (micro_batch, fits)
    if fits:
        assert plan.memory <= 0.9 * gigabytes * 1000 * MEGABYTE


def test_only_settings_that_must_change_are_changed():
    plan = plan_training(PROBE, CORPUS, CONFIG, Budget(time=1000.0))
    assert plan.settings(CONFIG) == [
        "optim.max_steps=450",
        "optim.warmup_steps=45",
        "validate_every=45",
        "save_every=45",
    ]
    long = replace(CONFIG, optim=replace(CONFIG.optim, epochs=1000.0))
    assert plan_training(PROBE, CORPUS, long, Budget(time=1e6)).settings(long) == ["optim.max_steps=50000"]


def test_the_peak_of_memory_is_seen_though_it_is_free_again_at_the_end():
    blocks = [bytearray(100_000) for _ in range(6_000)]  # small enough for the C library's own heap
    last = blocks.pop()  # and below one that is in use, so that it keeps what is freed
    del blocks
    with peak_memory(torch.device("cpu")) as small:
        torch.ones(25_000_000).sum()
    with peak_memory(torch.device("cpu")) as large:
        torch.ones(100_000_000).sum()
    assert 80 * MEGABYTE < small.bytes < 150 * MEGABYTE
    assert 350 * MEGABYTE < large.bytes < 500 * MEGABYTE
    assert len(last) == 100_000


def test_a_probe_counts_the_state_and_measures_the_steps(tmp_path: Path):
    objective = word_objective("correct")
    examples = word_examples(word_cache(tmp_path / "cache"), objective)
    measured = probe(objective, examples, word_config("correct", max_batch_duration=3.0))
    trained = sum(one.numel() for one in objective.parameters() if one.requires_grad)
    held = {one.data_ptr(): one.nbytes for one in [*objective.parameters(), *objective.buffers()]}
    assert 0 <= measured.state_bytes - (sum(held.values()) + 12 * trained) < 10_000  # a counter for each tensor
    assert 1.0 < measured.step_duration <= 3.0
    assert measured.speed == measured.step_duration / measured.step_time > 0
    assert measured.fitted <= 3.0


def test_a_stage_is_measured_on_its_own_data(tmp_path: Path):
    word_cache(tmp_path / "cache", num_utterances=40)
    config = replace(saved_word_config(tmp_path, max_batch_duration=2.0), train=(str(tmp_path / "cache*2"),))
    measured, corpus = measure_stage(config, num_utterances=8)
    assert corpus.num_utterances == 40
    assert corpus.features_bytes == pytest.approx(corpus.duration * 50 * 8 * 2, rel=0.01)
    assert corpus.encoding_time == 0.0
    assert measured.step_duration <= 2.0
