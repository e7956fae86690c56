"""The folder of a training run: configuration, metrics, checkpoints and the state to continue from.

config.json         the resolved configuration
environment.json    versions and machine
metrics.jsonl       one line a logged step
infeasible.jsonl    utterances that no CTC alignment exists for
checkpoint/         the newest weights, a complete model for `tiny-audio transcribe --model`
best/               the weights with the lowest validation WER
state.pt            weights in full precision, optimizer and position, to resume
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tiny_audio import __version__
from tiny_audio.errors import CheckpointError, ConfigError
from tiny_audio.training.config import TrainConfig


class RunDirectory:
    """Open or create the folder of a run.

    Raises:
        ConfigError: it belongs to a run with another configuration.
    """

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint"
        self.best = path / "best"
        self._state = path / "state.pt"
        self._metrics = path / "metrics.jsonl"
        path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(config), indent=1) + "\n"
        config_path = path / "config.json"
        if config_path.exists() and self._state.exists():
            found, wanted = json.loads(config_path.read_text(encoding="utf-8")), json.loads(text)
            if found != wanted:
                differ = sorted(name for name in wanted if found.get(name) != wanted[name])
                problem = f"{path} holds a run with another configuration ({', '.join(differ)}); choose another folder"
                raise ConfigError([problem])
        config_path.write_text(text, encoding="utf-8")
        environment = {
            "tiny_audio": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
        }
        (path / "environment.json").write_text(json.dumps(environment, indent=1) + "\n", encoding="utf-8")

    def log(self, step: int, metrics: Mapping[str, object]) -> None:
        """Append a line to the metrics."""
        with self._metrics.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **metrics}, allow_nan=False) + "\n")

    def save_state(self, state: dict[str, Any]) -> None:
        """Keep what is needed to continue exactly; the old state stays until the new one is whole."""
        temporary = self._state.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self._state)

    def load_state(self) -> dict[str, Any] | None:
        """The state of an interrupted run, or None for a new one; metrics after it are dropped."""
        if not self._state.exists():
            self._metrics.unlink(missing_ok=True)
            return None
        try:
            state: dict[str, Any] = torch.load(self._state, weights_only=True)
        except (RuntimeError, EOFError, OSError) as error:
            raise CheckpointError(f"cannot read '{self._state}': {error}; delete it to start anew") from error
        if self._metrics.exists():
            lines = self._metrics.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= state["step"]]
            self._metrics.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        return state
