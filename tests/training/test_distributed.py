"""Two processes train what one trains: the same curve, one set of files, and both end together."""

import json
from pathlib import Path
from typing import Any

import pytest

from tiny_audio.data.feature_cache import FeatureCache
from tiny_training import Recorder, build_objective, run_config, run_on, write_cache
from two_processes import NUM_STEPS, RUNS, distributed_runs, run_in_two


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def cache(folder: Path) -> FeatureCache:
    return write_cache(folder / "cache")


@pytest.fixture(scope="module")
def two(folder: Path, cache: FeatureCache) -> list[dict[str, Any]]:
    """What each process found."""
    return run_in_two(distributed_runs, folder)


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_what_one_trains(name: str, two: list[dict[str, Any]], cache: FeatureCache, tmp_path: Path):
    one = Recorder()
    objective = build_objective(RUNS[name]["stage"], dropout=False)
    run_on(cache, objective, run_config(NUM_STEPS, **RUNS[name]), tmp_path, validate=True, observers=[one])
    assert two[0][name]["losses"] == pytest.approx(one.losses, rel=1e-5)
    assert [tuple(found) for found in two[0][name]["validations"]] == one.validations
    assert one.losses[-1] < one.losses[0] or "small" in name


def test_only_the_first_process_writes_and_is_watched(two: list[dict[str, Any]], folder: Path):
    for name in RUNS:
        assert two[1][name]["losses"] == []
        steps = [json.loads(line)["step"] for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        assert steps == [NUM_STEPS, NUM_STEPS]  # the loss, and the error rates
        names = {path.name for path in (folder / name).iterdir()}
        assert names == {"config.json", "environment.json", "metrics.jsonl", "state.pt", "best", "checkpoint"}


def test_a_signal_to_one_process_stops_all_and_a_sharded_run_continues_where_it_was(two: list[dict[str, Any]]):
    assert [found["interrupted"]["code"] for found in two] == [143, 143]
    assert two[0]["interrupted"]["losses"] == two[0]["fsdp"]["losses"]


def test_all_processes_end_when_one_has_a_loss_that_is_not_finite(two: list[dict[str, Any]]):
    """Which process has it or not, the first one says so, and only that one."""
    assert "is not finite for utterances u7;" in two[0]["poisoned"]
    assert two[1]["poisoned"] == "SystemExit(1)"


def test_trap_38_what_is_fetched_is_fetched_by_the_first_process(two: list[dict[str, Any]]):
    """Others wait, and leave quietly where it fails."""
    assert [found["main first"][0] for found in two] == ["by the first", "by the first"]
    assert "ConfigError" in two[0]["main first"][1]
    assert two[1]["main first"][1] == "SystemExit(1)"


def test_trap_49_parameters_that_are_not_used_neither_hang_nor_change(two: list[dict[str, Any]]):
    """As in one process: no gradient is not a gradient of zero, with which the weight would decay."""
    assert two[0]["unused"] == two[1]["unused"] == [1.0] * 4
