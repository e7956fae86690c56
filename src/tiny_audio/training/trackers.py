"""Send the metrics of a run to TensorBoard, Weights & Biases or trackio; to this machine, unless the user wants else.

None of them asks for an account. A run that continues is the same run there too: its name is kept in its folder.
"""

import contextlib
import importlib.util
import os
import secrets
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tiny_audio.atomic import write_text
from tiny_audio.errors import ConfigError, MissingExtraError, UnknownNameError
from tiny_audio.training.observer import Observer, RunContext

PROJECT = "tiny-audio"
NAME_FILE = "tracker-run.txt"


def build_trackers(names: Sequence[str]) -> list[Observer]:
    """The trackers of those names.

    Raises:
        UnknownNameError: no such tracker.
        MissingExtraError: its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(name, name)
    return [TRACKERS[name]() for name in names]


class Tracker(Observer):
    """Metrics of steps become `train/NAME`, those of validations `validation/NAME`."""

    _is_open = False

    def on_start(self, context: RunContext) -> None:
        """Begin, or go on with, the run of that folder."""
        self._open(context)
        self._is_open = True

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass numbers on."""
        self._log(step, {f"train/{name}": value for name, value in metrics.items()})

    def on_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass numbers on."""
        self._log(step, {f"validation/{name}": value for name, value in metrics.items()})

    def on_end(self) -> None:
        """Write what is still in memory."""
        if self._is_open:
            self._is_open = False
            self._close()

    @abstractmethod
    def _open(self, context: RunContext) -> None: ...

    @abstractmethod
    def _log(self, step: int, metrics: dict[str, float]) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class TensorBoard(Tracker):
    """Event files in `tensorboard/` of the run; `tensorboard --logdir RUN` shows them."""

    def _open(self, context: RunContext) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an interrupted run wrote behind the state that it continues from is hidden.
        self._writer: Any = SummaryWriter(str(context.folder / "tensorboard"), purge_step=context.first_step + 1)

    def _log(self, step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def _close(self) -> None:
        self._writer.close()


class WeightsAndBiases(Tracker):
    """Offline in `wandb/` of the run, for `wandb sync`; WANDB_MODE=online sends at once."""

    def _open(self, context: RunContext) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        if mode == "online" and not wandb.login(prompt=False):
            raise ConfigError(["WANDB_MODE is online, but there is no key; run `wandb login`, or unset WANDB_MODE"])
        name = run_name(context.folder, is_new=context.first_step == 0)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=name,
            id=name,
            dir=context.folder,
            mode=mode,
            resume="allow",
            config=asdict(context.config),
            settings=wandb.Settings(console="off", silent=True),
        )
        # Its own counter must not go back, which that of a continued run does.
        self._run.define_metric("*", step_metric="step")

    def _log(self, step: int, metrics: dict[str, float]) -> None:
        self._run.log({**metrics, "step": step})

    def _close(self) -> None:
        self._run.finish()


class Trackio(Tracker):
    """In the user's own trackio on this machine; `trackio show` opens it."""

    def _open(self, context: RunContext) -> None:
        import trackio

        self._trackio = trackio
        with contextlib.redirect_stdout(sys.stderr):
            trackio.init(
                project=PROJECT,
                name=run_name(context.folder, is_new=context.first_step == 0),
                config=asdict(context.config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def _log(self, step: int, metrics: dict[str, float]) -> None:
        self._trackio.log(metrics, step=step)

    def _close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self._trackio.finish()


TRACKERS: Mapping[str, Callable[[], Observer]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
}
"""By the name of their package, which is that of the extra too."""


def run_name(folder: Path, *, is_new: bool) -> str:
    """The folder's name and a few random letters: other than that of any other run, and the same when it continues."""
    path = folder / NAME_FILE
    if is_new or not path.is_file():
        write_text(path, f"{folder.resolve().name}-{secrets.token_hex(3)}\n")
    return path.read_text(encoding="utf-8").strip()
