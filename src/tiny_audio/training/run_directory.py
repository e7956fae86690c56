"""The folder of a training run: configuration, metrics, checkpoints and the state to continue from.

config.json         the resolved configuration
environment.json    versions, commit and machine
metrics.jsonl       one line a logged step
infeasible.jsonl    utterances that no CTC alignment exists for
checkpoint/         the newest weights, a complete model for `tiny-audio transcribe --model`
best/               the weights with the lowest validation WER
best-1/ ...         where more than one is kept: those of the validations with the lowest WER
average/            their mean, made at the end
state.pt            weights in full precision, optimizer and position, to resume
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from tiny_audio.atomic import write_text
from tiny_audio.errors import CheckpointError, ConfigError
from tiny_audio.training.config import TrainConfig
from tiny_audio.training.environment import describe_environment


class RunDirectory:
    """Open or create the folder of a run.

    Args:
        path: the folder; it is the run's only name, so that all processes mean the same one.
        config: of the run.
        is_main: whether this process writes; all others only read.

    Raises:
        ConfigError: it belongs to a run with another configuration.
    """

    def __init__(self, path: Path, config: TrainConfig, *, is_main: bool = True) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint"
        self.best = path / "best"
        self.average = path / "average"
        self._state = path / "state.pt"
        self._metrics = path / "metrics.jsonl"
        self._is_main = is_main
        values = json.loads(json.dumps(asdict(config)))
        config_path = path / "config.json"
        if config_path.exists() and self._state.exists():
            found = _what_matters(json.loads(config_path.read_text(encoding="utf-8")))
            wanted = _what_matters(values)
            if found != wanted:
                differ = sorted(name for name in wanted if found.get(name) != wanted[name])
                problem = f"{path} holds a run with another configuration ({', '.join(differ)}); choose another folder"
                raise ConfigError([problem])
        if not is_main:
            return
        path.mkdir(parents=True, exist_ok=True)
        write_text(config_path, json.dumps(values, indent=1) + "\n")
        write_text(path / "environment.json", json.dumps(describe_environment(), indent=1) + "\n")

    def log(self, step: int, metrics: Mapping[str, object]) -> None:
        """Append a line to the metrics."""
        if self._is_main:
            with self._metrics.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": step, **metrics}, allow_nan=False) + "\n")

    def save_state(self, state: dict[str, Any]) -> None:
        """Keep what is needed to continue exactly; the old state stays until the new one is whole and on the disk."""
        if not self._is_main:
            return
        temporary = self._state.with_suffix(".tmp")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._state)

    def load_state(self) -> dict[str, Any] | None:
        """The state of an interrupted run, or None for a new one; metrics after it are dropped."""
        state: dict[str, Any] | None = None
        if self._state.exists():
            try:
                state = torch.load(self._state, map_location="cpu", weights_only=True)
            except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
                reason = str(error).partition("\n")[0]
                raise CheckpointError(f"cannot read '{self._state}': {reason}; delete it to start anew") from error
        if self._is_main and self._metrics.exists():
            self._keep_metrics(0 if state is None else state["step"])
        return state

    def _keep_metrics(self, last_step: int) -> None:
        """Drop the lines of later steps, and one that was being written when the process ended."""
        lines = self._metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= last_step]
        write_text(self._metrics, "".join(kept))


def _what_matters(config: dict[str, Any]) -> dict[str, Any]:
    """Without what may change while a run goes on, because it changes no result."""
    optim = {name: value for name, value in config["optim"].items() if name != "max_micro_batch_duration"}
    return {**config, "optim": optim}
