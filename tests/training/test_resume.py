"""A run that was interrupted, however it was, ends like one that was not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import train_in_process
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.errors import CheckpointError
from tiny_audio.training.run_directory import RunDirectory
from tiny_training import Recorder, build_objective, logged, run_config, run_on, write_cache

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "two workers, moving average, best three": {"optim": {"ema_decay": 0.8}, "keep_best": 3, "validate_every": 4},
    "half precision": {"optim": {"precision": "fp16"}},
}
NUM_STEPS = 12


class Interrupter(Recorder):
    """Sends this process a signal after a step."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        super().__init__()
        self.at, self.number = step, number

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        super().on_step(step, metrics)
        if step == self.at:
            signal.raise_signal(self.number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "cache"


@pytest.fixture(scope="module")
def cache(folder: Path) -> FeatureCache:
    return write_cache(folder)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_run_equals_an_uninterrupted_one(name: str, tmp_path: Path, cache: FeatureCache):
    config = run_config(NUM_STEPS, **SETTINGS[name])
    workers = 2 if "workers" in name else 0
    whole, one = build_objective(), Recorder()
    straight = run_on(cache, whole, config, tmp_path / "straight", validate=True, observers=[one])

    first, second, resumed = Interrupter(7, signal.SIGINT), Recorder(), build_objective()
    with pytest.raises(KeyboardInterrupt):
        run_on(cache, build_objective(), config, tmp_path / "broken", validate=True, observers=[first])
    broken = run_on(cache, resumed, config, tmp_path / "broken", validate=True, observers=[second], num_workers=workers)
    assert first.losses + second.losses == one.losses  # the step at which the signal came was finished
    assert len(second.losses) in (NUM_STEPS - 7, NUM_STEPS - 8)
    assert first.validations + second.validations == one.validations
    for left, right in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(left, right)
    assert logged(straight) == logged(broken)
    folders = [sorted(path.name for path in run.path.iterdir() if path.is_dir()) for run in (straight, broken)]
    assert folders[0] == folders[1]
    for folder in folders[0]:
        weights = [(run.path / folder / "model.safetensors").read_bytes() for run in (straight, broken)]
        assert weights[0] == weights[1], folder


def test_sigterm_saves_and_ends_with_its_code(tmp_path: Path, cache: FeatureCache):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        run_on(cache, build_objective(), run_config(9), tmp_path, observers=[Interrupter(4, signal.SIGTERM)])
    assert stopped.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert RunDirectory(tmp_path, run_config(9)).load_state()["step"] in (4, 5)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, cache: FeatureCache):
    class Impatient(Interrupter):
        def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
            super().on_step(step, metrics)
            if step == self.at:
                signal.raise_signal(self.number)

    with pytest.raises(KeyboardInterrupt):
        run_on(cache, build_objective(), run_config(9), tmp_path, observers=[Impatient(4, signal.SIGINT)])
    assert not (tmp_path / "state.pt").exists()


def test_a_save_that_dies_before_it_is_whole_leaves_the_one_before(
    tmp_path: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
):
    config = run_config(NUM_STEPS, save_every=4)
    straight = run_on(cache, build_objective(), config, tmp_path / "straight")
    save, saves = torch.save, 0

    def die(state: object, file: Any) -> None:
        nonlocal saves
        saves += 1
        if saves == 2:
            file.write(b"half of it")
            raise OSError("no space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(OSError, match="no space"):
        run_on(cache, build_objective(), config, tmp_path / "broken")
    recorder = Recorder()
    broken = run_on(cache, build_objective(), config, tmp_path / "broken", observers=[recorder])
    assert recorder.steps[0][0] == 5
    assert logged(broken) == logged(straight)
    assert _weights(broken.path) == _weights(straight.path)


def test_a_run_killed_while_it_saves_goes_on(tmp_path: Path, cache: FeatureCache, folder: Path):
    """It saves at every step, so a kill at a random moment most likely meets a save."""
    run = tmp_path / "killed"
    command = [sys.executable, train_in_process.__file__, str(folder), str(run)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for kill in (True, False):
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 120
            while kill and not (run / "state.pt").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            if kill:
                time.sleep(0.2)
                process.kill()
            _, errors = process.communicate()
        if kill:
            assert process.returncode == -signal.SIGKILL, "it was over before it could be killed"
            assert torch.load(run / "state.pt", weights_only=True)["step"] < 30
    assert process.returncode == 0, errors
    straight = run_on(cache, build_objective(), train_in_process.CONFIG, tmp_path / "straight")
    assert logged(run) == logged(straight)
    assert _weights(run) == _weights(straight.path)


def test_a_damaged_state_is_one_clear_error(tmp_path: Path, cache: FeatureCache):
    config = run_config(2)
    run_on(cache, build_objective(), config, tmp_path)
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(CheckpointError, match="delete it to start anew"):
        run_on(cache, build_objective(), config, tmp_path)


def test_a_finished_run_stays_as_it_is(tmp_path: Path, cache: FeatureCache):
    config = run_config(3)
    run = run_on(cache, build_objective(), config, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.safetensors")}
    recorder = Recorder()
    run_on(cache, build_objective(), config, tmp_path, observers=[recorder])
    assert recorder.losses == []
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*.safetensors")}


def _weights(run: Path) -> bytes:
    return (run / "checkpoint" / "model.safetensors").read_bytes()
