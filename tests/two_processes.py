"""What two processes of a distributed run do in the tests; started by `torch.multiprocessing`, which imports this."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from tiny_audio.data.batch import Batch
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.stream import Step
from tiny_audio.errors import ConfigError, TrainingError
from tiny_audio.training.objective import StepOutput
from tiny_audio.training.processes import Processes
from tiny_training import Recorder, build_objective, run_config, run_on

NUM_STEPS = 6
RUNS: Mapping[str, dict[str, Any]] = {
    "align": {"stage": "align", "optim": {"ema_decay": 0.5}},
    "correct": {"stage": "correct", "optim": {"max_micro_batch_duration": 1.5}},
    # Steps of one or two utterances: a process may have none, and with FSDP must keep step all the same.
    "small steps": {"stage": "correct", "optim": {"max_batch_duration": 0.8}},
    "fsdp": {"stage": "full", "optim": {"ema_decay": 0.5, "max_micro_batch_duration": 1.5}, "distributed": "fsdp"},
    "fsdp, small steps": {"stage": "full", "optim": {"max_batch_duration": 0.8}, "distributed": "fsdp"},
}
"""Settings of `run_config`; one process and two must train them alike."""


def run_in_two(work: Callable[[int, Path], dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Run `work(rank, folder)` in two processes joined by gloo; returns what each has left in `RANK.json`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_start, args=(work, folder, port), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def _start(rank: int, work: Callable[[int, Path], dict[str, Any]], folder: Path, port: int) -> None:
    launcher = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in launcher.items()}, MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)
    (folder / f"{rank}.json").write_text(json.dumps(work(rank, folder)))
    Processes().close()


def distributed_runs(rank: int, folder: Path) -> dict[str, Any]:
    """All that is checked of two processes; one start for all of it, since starting takes seconds."""
    cache = FeatureCache(folder / "cache")
    found: dict[str, Any] = {}
    for name, settings in RUNS.items():
        objective, recorder = build_objective(settings["stage"], dropout=False), Recorder()
        config = run_config(NUM_STEPS, **settings)
        run_on(cache, objective, config, folder / name, validate=True, observers=[recorder])
        found[name] = {"losses": recorder.losses, "validations": recorder.validations}
    found["unused"] = unused(cache, folder / "unused")
    found["interrupted"] = interrupted(cache, folder / "interrupted")
    found["poisoned"] = poisoned(cache, folder / "poisoned")
    found["main first"] = main_first(folder)
    return found


def unused(cache: FeatureCache, folder: Path) -> list[float]:
    """A parameter that no loss depends on."""
    objective = build_objective()
    objective.idle = torch.nn.Parameter(torch.ones(2, 2))
    run_on(cache, objective, run_config(2, optim={"weight_decay": 0.5}), folder)
    return objective.idle.flatten().tolist()


def interrupted(cache: FeatureCache, folder: Path) -> dict[str, Any]:
    """Only the first process gets a signal, after step 3."""

    class Interrupter(Recorder):
        def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
            super().on_step(step, metrics)
            if step == 3:
                signal.raise_signal(signal.SIGTERM)

    config = run_config(NUM_STEPS, **RUNS["fsdp"])
    recorders = [Interrupter(), Recorder()]
    code = None
    for recorder in recorders:
        try:
            run_on(cache, build_objective("full", dropout=False), config, folder, observers=[recorder])
        except SystemExit as stop:
            code = stop.code
    return {"code": code, "losses": [loss for recorder in recorders for loss in recorder.losses]}


def poisoned(cache: FeatureCache, folder: Path) -> str:
    """One utterance, which only one of the processes has, has no loss."""
    objective = build_objective()
    original = objective.forward

    def forward(batch: Batch, step: Step) -> StepOutput:
        output = original(batch, step)
        return replace(output, loss=output.loss * (torch.nan if "u7" in batch.ids else 1.0))

    objective.forward = forward  # type: ignore[method-assign]
    try:
        run_on(cache, objective, run_config(NUM_STEPS, save_every=100), folder)
    except (TrainingError, SystemExit) as error:
        return repr(error)
    return "no error"


def main_first(folder: Path) -> list[str]:
    """The first process makes what the other one needs; then the first one fails."""
    processes, path = Processes(), folder / "made.txt"

    def work() -> str:
        if processes.is_main:
            time.sleep(0.3)
            path.write_text("by the first")
        return path.read_text()

    def fail() -> None:
        raise ConfigError(["no such thing"])

    found = [processes.main_first(work)]
    try:
        processes.main_first(fail)
    except (ConfigError, SystemExit) as error:
        found.append(repr(error))
    return found
