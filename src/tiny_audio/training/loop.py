"""The one training loop, for every objective and any number of processes."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from tiny_audio.data.batch import Batch
from tiny_audio.data.stream import Step, StepStream
from tiny_audio.errors import TrainingError
from tiny_audio.models.averaging import average_checkpoints
from tiny_audio.models.checkpoint import WEIGHTS_FILE
from tiny_audio.models.stored_tensors import read_stored_tensors
from tiny_audio.training.averaging import WeightAverage
from tiny_audio.training.best import BestCheckpoints
from tiny_audio.training.build import build_objective, build_stream
from tiny_audio.training.compilation import compile_parts
from tiny_audio.training.config import TrainConfig
from tiny_audio.training.examples import training_sources, validation_batches
from tiny_audio.training.interruption import Interruption, leave
from tiny_audio.training.objective import Objective
from tiny_audio.training.observer import Observer, RunContext
from tiny_audio.training.optimizer import (
    Schedule,
    build_optimizer,
    clip_gradients,
    cosine_schedule,
    count_trainable,
    set_learning_rate,
    trained_parameters,
)
from tiny_audio.training.parts import gradient_norms
from tiny_audio.training.precision import compute_dtype, mixed_precision
from tiny_audio.training.processes import Processes
from tiny_audio.training.run_directory import RunDirectory
from tiny_audio.training.sharding import gather_state, load_optimizer_state, shard_layers, share_like, whole
from tiny_audio.training.step_computer import StepComputer, StepShare
from tiny_audio.training.validation import ValidationSets, mean_wer, validate, validation_name

LOG_EVERY = 20
_SHOWN = 8
"""Utterances that a message names."""
_MAX_SKIPPED = 50
"""Steps in a row that half precision may skip; at first it does until it has found its scale."""

logger = logging.getLogger(__name__)


def train(
    config: TrainConfig, output_dir: Path, *, observers: Iterable[Observer] = (), num_workers: int = 0
) -> RunDirectory:
    """Run a configuration, or continue it where it was interrupted.

    Args:
        config: of the run.
        output_dir: its folder.
        observers: who watches; only the first process has them.
        num_workers: processes that read recordings ahead; they change nothing but the time.

    Raises:
        ConfigError: nothing to train on, no checkpoint to start from, or the folder holds another run.
        TrainingError: the loss is not a number any more, or the memory too small for a single utterance.
    """
    processes = Processes()
    if not processes.is_main:
        logging.getLogger("tiny_audio").setLevel(logging.ERROR)
    run = processes.main_first(lambda: RunDirectory(output_dir, config, is_main=processes.is_main))
    objective = processes.main_first(lambda: build_objective(config, run.path))
    sources = processes.main_first(lambda: training_sources(config.train, run.path, objective, config.data))

    def validation_set(source: str) -> list[Batch]:
        return validation_batches(source, run.path, objective, max_utterances=config.max_validation_utterances)

    validation = {
        validation_name(source): processes.main_first(lambda source=source: validation_set(source))  # type: ignore[misc]
        for source in config.validation
    }
    stream = build_stream(config, sources, objective)
    run_loop(objective, stream, validation, config, run, observers=observers, num_workers=num_workers)
    return run


def run_loop(
    objective: Objective,
    stream: StepStream,
    validation: ValidationSets,
    config: TrainConfig,
    run: RunDirectory,
    *,
    observers: Iterable[Observer] = (),
    schedule: Schedule | None = None,
    num_workers: int = 0,
) -> None:
    """Step until `config` says enough; log, validate and save on the way.

    All randomness (order, masks, dropout) is drawn from the seed and the number of the step: a run that was
    interrupted ends like one that was not.

    Args:
        objective: what is trained, in place.
        stream: what on.
        validation: batches of each set on which WER is measured.
        config: of the run.
        run: its folder; a run that is there is continued.
        observers: who watches.
        schedule: of the learning rate; None: warm-up and cosine.
        num_workers: processes that read ahead.

    Raises:
        TrainingError: see `train`.
        KeyboardInterrupt, SystemExit: by a signal, after the state was saved.
    """
    _Loop(objective, stream, validation, config, run, schedule).run(observers, num_workers)


@dataclass(frozen=True, kw_only=True)
class _Report:
    """What the processes tell each other about a step before they sum their gradients."""

    share: StepShare
    signal: int
    has_gradient: Sequence[bool]


class _Loop:
    """The state of a run between two steps."""

    def __init__(
        self,
        objective: Objective,
        stream: StepStream,
        validation: ValidationSets,
        config: TrainConfig,
        run: RunDirectory,
        schedule: Schedule | None,
    ) -> None:
        self.processes = Processes()
        self.objective = objective
        self.stream = stream
        self.validation = validation
        self.config = config
        self.directory = run
        optim = config.optim
        self.max_steps = optim.max_steps or max(round(optim.epochs * stream.steps_per_epoch()), 1)
        self.schedule = schedule or cosine_schedule(self.max_steps, optim)
        self.max_frames = int(optim.max_micro_batch_duration * objective.frame_rate)
        self.dtype = compute_dtype(objective.device, optim.precision)
        self.is_sharded = config.distributed == "fsdp" and self.processes.count > 1
        self.step = 0
        self.best_wer = math.inf
        self.stale_validations = 0
        self.skipped: Counter[str] = Counter()
        state = run.load_state()
        if state is not None:
            objective.load_trained_state(state["model"])
        if self.is_sharded:
            shard_layers(objective.language_model(), self.processes)
        if config.compile:
            compile_parts(objective)
        self.parameters = list(trained_parameters(objective).values())
        self.optimizer = build_optimizer(objective, optim)
        self.average = WeightAverage(self.parameters, optim.ema_decay)
        self.best = BestCheckpoints(run.path, config.keep_best)
        self.scaler = torch.amp.GradScaler(objective.device.type, enabled=self.dtype == torch.float16)
        self.computer = StepComputer(objective, autocast=self._autocast, scaler=self.scaler, in_concert=self.is_sharded)
        if state is not None:
            self._restore(state)

    def run(self, observers: Iterable[Observer], num_workers: int) -> None:
        """From where it stands to the end."""
        context = self._context()
        self.objective.train()
        with ExitStack() as stack:
            interruption = stack.enter_context(Interruption())
            watching = list(observers) if self.processes.is_main else []
            for observer in watching:
                observer.on_start(context)
                stack.callback(observer.on_end)
            loader = self.stream.loader(
                self.step,
                self.max_steps,
                rank=self.processes.rank,
                world_size=self.processes.count,
                max_frames=self.max_frames,
                num_workers=num_workers,
            )
            while not self._is_done():
                started = time.perf_counter()
                step, batches = next(loader)
                waited = time.perf_counter() - started
                signal, metrics = self._advance(step, batches, interruption.signal)
                elapsed = time.perf_counter() - started
                metrics |= {
                    "audio_duration": step.duration,
                    "step_time": elapsed,
                    "wait_time": waited,
                    "audio_seconds_per_second": step.duration / elapsed,
                }
                if self.step % LOG_EVERY == 0 or self.step == self.max_steps:
                    self.directory.log(self.step, _rounded(metrics))
                for observer in watching:
                    observer.on_step(self.step, metrics)
                if self.validation and (self.step % self.config.validate_every == 0 or self.step == self.max_steps):
                    self._validate(watching)
                if self._is_done():
                    self._try_average(watching)
                if signal or self._is_done() or self.step % self.config.save_every == 0:
                    self._save()
                if signal:
                    logger.warning("interrupted at step %d; the same command continues from there", self.step)
                    leave(signal)

    def _is_done(self) -> bool:
        is_stale = 0 < self.config.patience <= self.stale_validations
        return self.step >= self.max_steps or is_stale

    def _advance(self, step: Step, batches: Sequence[Batch], signal: int) -> tuple[int, dict[str, float]]:
        """One optimizer step; returns the signal that any of the processes got, and the metrics."""
        factor = self.schedule(self.step)
        set_learning_rate(self.optimizer, factor)
        share = self.computer.compute(step, batches, self._idle_batches(step, batches))
        has_gradient = [parameter.grad is not None for parameter in self.parameters]
        reports = self.processes.gather(_Report(share=share, signal=signal, has_gradient=has_gradient))
        if bad_ids := [row for report in reports for row in report.share.bad_ids]:
            self._fail(
                f"the loss of step {self.step + 1} is not finite for utterances {', '.join(bad_ids[:_SHOWN])};"
                " listen to them and read their text, or lower the learning rate"
            )
        self.processes.sum_gradients(
            self.parameters, [any(found) for found in zip(*(report.has_gradient for report in reports), strict=True)]
        )
        metrics: dict[str, float] = dict(sum((Counter(report.share.metrics) for report in reports), Counter()))
        metrics |= self._update()
        metrics["learning_rate"] = self.config.optim.learning_rate * factor
        self.step += 1
        return max(report.signal for report in reports), metrics

    def _update(self) -> dict[str, float]:
        """Apply the gradients; returns their norms."""
        self.scaler.unscale_(self.optimizer)
        norms = gradient_norms(self.objective.named_parameters())
        norm = math.hypot(*norms.values())
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            self._fail(
                f"the gradient of step {self.step + 1} is not finite, though its loss is; lower the learning rate"
            )
        clip_gradients(self.parameters, norm, self.config.optim.max_grad_norm)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() < scale:
            self.skipped.update(("all", "in a row"))
            if self.skipped["in a row"] > _MAX_SKIPPED:
                self._fail(
                    f"{_MAX_SKIPPED} steps in a row had gradients that half precision cannot hold;"
                    " set optim.precision=bf16 or fp32"
                )
            return {"skipped_steps": self.skipped["all"]}
        self.skipped["in a row"] = 0
        self.average.update()
        return {"grad_norm": norm, **{f"grad_norm/{part}": value for part, value in norms.items()}}

    def _fail(self, message: str) -> NoReturn:
        self.processes.fail(TrainingError(message))

    def _idle_batches(self, step: Step, batches: Sequence[Batch]) -> list[Batch]:
        """What this process computes for nothing while others have more batches: layers are computed in concert."""
        if not self.is_sharded:
            return []
        missing = max(self.processes.gather(len(batches))) - len(batches)
        return self.stream.micro_batches(step.index, max_frames=self.max_frames or 1)[:1] * missing if missing else []

    def _autocast(self) -> AbstractContextManager[object]:
        return mixed_precision(self.objective.device, self.dtype)

    def _validate(self, watching: Sequence[Observer]) -> None:
        with self.average.in_use(), whole(self.objective):
            metrics = validate(self.objective, self.validation, self.processes, self._autocast)
            wer = mean_wer(metrics)
            self.stale_validations = 0 if wer < self.best_wer else self.stale_validations + 1
            if self.processes.is_main:
                if wer < self.best_wer:
                    self.objective.save(self.directory.best)
                if self.config.keep_best > 1:
                    self.best.add(self.step, wer, self.objective.save)
            self.best_wer = min(wer, self.best_wer)
        self._report(metrics, watching)

    def _try_average(self, watching: Sequence[Observer]) -> None:
        """The mean of the best checkpoints is often better than each of them (arXiv 2203.05482)."""
        folders = self.processes.broadcast(self.best.folders())
        if self.config.keep_best == 1 or len(folders) < 2:
            return
        average = self.directory.average
        if self.processes.is_main:
            average_checkpoints({folder: 1 / len(folders) for folder in folders}, average)
        self.processes.wait()
        own = {name: tensor.clone() for name, tensor in self.objective.trained_state().items()}
        self.objective.load_trained_state(read_stored_tensors(average / WEIGHTS_FILE))
        metrics = validate(self.objective, self.validation, self.processes, self._autocast)
        if mean_wer(metrics) < self.best_wer:
            self.best_wer = mean_wer(metrics)
            if self.processes.is_main:
                self.objective.save(self.directory.best)
        self.objective.load_trained_state(own)
        self._report({f"average_{name}": value for name, value in metrics.items()}, watching)

    def _report(self, metrics: dict[str, float], watching: Sequence[Observer]) -> None:
        self.directory.log(self.step, _rounded(metrics))
        for observer in watching:
            observer.on_validation(self.step, metrics)

    def _save(self) -> None:
        """Write the newest weights and the state to continue from."""
        with self.average.in_use(), whole(self.objective):
            if self.processes.is_main:
                self.objective.save(self.directory.checkpoint)
        state = {
            "step": self.step,
            "best_wer": self.best_wer,
            "stale_validations": self.stale_validations,
            "skipped": dict(self.skipped),
            "max_frames": self.computer.max_frames,
            "model": gather_state(self.objective.trained_state()),
            "optimizer": gather_state(self.optimizer.state_dict()),
            "average": gather_state(self.average.state_dict()),
            "scaler": self.scaler.state_dict(),
        }
        self.directory.save_state(state)
        self.processes.wait()  # a process that ends after a signal must not take down one that still writes

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.best_wer = state["best_wer"]
        self.stale_validations = state["stale_validations"]
        self.skipped.update(state["skipped"])
        self.computer.max_frames = state["max_frames"]
        load_optimizer_state(self.optimizer, state["optimizer"])
        averages = zip(state["average"]["averages"], self.parameters, strict=False)
        shared = [share_like(average, parameter) for average, parameter in averages]
        self.average.load_state_dict({**state["average"], "averages": shared})
        self.scaler.load_state_dict(state["scaler"])
        logger.info("continuing at step %d", self.step)

    def _context(self) -> RunContext:
        stream, steps = self.stream, self.stream.steps_per_epoch()
        context = RunContext(
            folder=self.directory.path,
            config=self.config,
            first_step=self.step,
            max_steps=self.max_steps,
            steps_per_epoch=steps,
            epoch_duration=sum(stream.step(index).duration for index in range(steps)),
            trained_parameters=count_trainable(self.objective),
            processes=self.processes.count,
        )
        logger.info(
            "%.2f h and %d steps an epoch, padding %.1f %%; %d steps; %.2f M trained parameters",
            context.epoch_duration / 3600,
            steps,
            100 * stream.padding_share(),
            self.max_steps,
            context.trained_parameters / 1e6,
        )
        return context


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Seven digits are what float32 has."""
    return {name: float(f"{value:.7g}") for name, value in metrics.items()}
