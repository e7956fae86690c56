"""Trackers against the real packages, offline: what arrives, what a continued run looks like, and clear refusals."""

import importlib.util
import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tiny_audio.errors import ConfigError, MissingExtraError, UnknownNameError
from tiny_audio.recipes import build_recipe
from tiny_audio.training import trackers
from tiny_audio.training.observer import Observer, RunContext
from tiny_audio.training.trackers import build_trackers, run_name


def context_of(folder: Path, *, first_step: int = 0) -> RunContext:
    folder.mkdir(exist_ok=True)
    return RunContext(
        folder=folder,
        config=build_recipe("tiny_audio_base").stage("align"),
        first_step=first_step,
        max_steps=10,
        steps_per_epoch=5,
        epoch_duration=50.0,
        trained_parameters=1,
        processes=1,
    )


def need(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"the extra '{name}' is not installed")


def follow(observer: Observer, folder: Path, steps: range) -> None:
    """A run over those steps; the loss is the step's number."""
    observer.on_start(context_of(folder, first_step=steps.start - 1))
    for step in steps:
        observer.on_step(step, {"loss": float(step)})
    observer.on_validation(steps[-1], {"wer/words": 0.25})
    observer.on_end()


def test_tensorboard_has_each_step_once_also_when_a_run_goes_back_to_its_last_state(tmp_path: Path):
    need("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow(*build_trackers(["tensorboard"]), tmp_path / "run", range(1, 9))
    follow(*build_trackers(["tensorboard"]), tmp_path / "run", range(6, 11))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(n, n) for n in range(1, 11)]
    assert [event.value for event in events.Scalars("validation/wer/words")] == [0.25]


def test_wandb_writes_offline_into_the_run_and_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    need("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for steps in (range(1, 4), range(3, 5)):
        follow(*build_trackers(["wandb"]), tmp_path / "run", steps)
    written = list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert {path.name for path in written} == {f"run-{run_name(tmp_path / 'run', is_new=False)}.wandb"}


def test_wandb_online_without_a_key_is_refused_instead_of_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    need("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    (tracker,) = build_trackers(["wandb"])
    with pytest.raises(ConfigError, match="wandb login"):
        tracker.on_start(context_of(tmp_path / "run"))
    tracker.on_end()  # as the loop does it


def test_trackio_keeps_one_run_on_this_machine_and_standard_output_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    need("trackio")
    from trackio import sqlite_storage

    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path / "trackio")
    printed = io.StringIO()
    with redirect_stdout(printed):
        for steps in (range(1, 4), range(4, 6)):
            follow(*build_trackers(["trackio"]), tmp_path / "run", steps)
    logs = sqlite_storage.SQLiteStorage.get_logs(trackers.PROJECT, run_name(tmp_path / "run", is_new=False))
    assert [log["train/loss"] for log in logs if "train/loss" in log] == [1, 2, 3, 4, 5]
    assert not printed.getvalue()


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tiny-audio\[trackio\]'"):
        build_trackers(["trackio"])


def test_an_unknown_tracker_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'tensorboard'"):
        build_trackers(["tensorbord"])


def test_a_new_run_in_the_same_folder_gets_another_name(tmp_path: Path):
    first = run_name(tmp_path / "run", is_new=True)
    assert run_name(tmp_path / "run", is_new=False) == first
    assert run_name(tmp_path / "run", is_new=True) != first
