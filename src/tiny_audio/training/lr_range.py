"""Learning-rate range test (Smith, arXiv 1506.01186): the rate rises with every step until the loss breaks out.

The rate to train with is where the loss falls steepest: below, steps are wasted; towards the highest that still works,
the loss gets restless. Weights are those of a copy that is thrown away, and nothing of a run's folder is changed.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch

from tiny_audio.atomic import write_text
from tiny_audio.data.stream import StepStream
from tiny_audio.training.build import build_objective, build_stream
from tiny_audio.training.config import TrainConfig
from tiny_audio.training.examples import training_sources
from tiny_audio.training.objective import Objective
from tiny_audio.training.optimizer import build_optimizer, clip_gradients, set_learning_rate, trained_parameters
from tiny_audio.training.precision import compute_dtype, mixed_precision
from tiny_audio.training.step_computer import StepComputer

LOWEST, HIGHEST = 1e-6, 1e-1
NUM_STEPS = 100
_REACH = 5
"""Neighbours to either side with which a loss is averaged; alone it says little: every step has other utterances."""
_BREAKOUT = 0.5
"""The loss has broken out when it has lost that share of what it had gained, and stands that share above its lowest."""
_LEAST_FALL = 0.05
"""Share of the first loss below which a fall is chance."""


@dataclass(frozen=True, kw_only=True)
class LRPoint:
    """One step of the test."""

    step: int
    learning_rate: float
    """Of the main group; the others keep their ratio to it."""
    loss: float
    """Before the step was taken."""


@dataclass(frozen=True, kw_only=True)
class LRRange:
    """What the test found."""

    points: list[LRPoint]
    suggestion: float | None
    """None: the loss fell nowhere."""
    breakout: float | None
    """Where the loss broke out; None: nowhere."""

    def table(self, rows: int = 12) -> str:
        """Some of the points, and the suggestion, as text."""
        pairs = list(zip(self.points, smooth([point.loss for point in self.points]), strict=True))
        lines = [f"{point.learning_rate:13.1e} {mean:10.4g}" for point, mean in pairs[:: -(-len(pairs) // rows) or 1]]
        lines.insert(0, "learning rate       loss")
        if self.breakout is not None:
            lines.append(f"the loss breaks out at {self.breakout:.1e}")
        if self.suggestion is None:
            return "\n".join([*lines, "the loss falls nowhere; `tiny-audio diagnose` may say why"])
        return "\n".join([*lines, f"suggestion: --set optim.learning_rate={self.suggestion:.1e}"])


def lr_range_test(config: TrainConfig, output_dir: Path) -> LRRange:
    """Test a configuration; writes `lr_range.jsonl`, and features that are missing, into the folder.

    Raises:
        ConfigError, ManifestError: as `training.loop.train`.
    """
    objective = build_objective(config, output_dir)
    sources = training_sources(config.train, output_dir, objective, config.data)
    stream = build_stream(config, sources, objective)
    found = sweep(objective, stream, config)
    lines = "".join(json.dumps(asdict(point)) + "\n" for point in found.points)
    write_text(output_dir / "lr_range.jsonl", lines)
    return found


def sweep(objective: Objective, stream: StepStream, config: TrainConfig, *, num_steps: int = NUM_STEPS) -> LRRange:
    """Train `objective` with a rate that grows by the same factor each step; stops when the loss has broken out.

    Args:
        objective: its weights are spoilt.
        stream: what to learn from.
        config: of the run that the rate is for.
        num_steps: from the lowest to the highest rate.
    """
    dtype = compute_dtype(objective.device, config.optim.precision)
    scaler = torch.amp.GradScaler(objective.device.type, enabled=dtype == torch.float16)
    computer = StepComputer(objective, autocast=lambda: mixed_precision(objective.device, dtype), scaler=scaler)
    optimizer = build_optimizer(objective, config.optim)
    parameters = list(trained_parameters(objective).values())
    max_frames = int(config.optim.max_micro_batch_duration * objective.frame_rate)
    points: list[LRPoint] = []
    lowest, has_broken_out = math.inf, False
    objective.train()
    for index in range(num_steps):
        rate = LOWEST * (HIGHEST / LOWEST) ** (index / (num_steps - 1))
        share = computer.compute(stream.step(index), stream.micro_batches(index, max_frames=max_frames))
        if share.bad_ids:
            has_broken_out = True
            break
        points.append(LRPoint(step=index + 1, learning_rate=rate, loss=share.metrics["loss"]))
        recent = fmean(point.loss for point in points[-_REACH:])
        lowest = min(lowest, recent)
        first = fmean(point.loss for point in points[:_REACH])
        if recent > lowest + _BREAKOUT * max(first - lowest, lowest):
            has_broken_out = True
            break
        scaler.unscale_(optimizer)
        norm = float(torch.nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None]))
        clip_gradients(parameters, norm, config.optim.max_grad_norm)
        set_learning_rate(optimizer, rate / config.optim.learning_rate)
        scaler.step(optimizer)
        scaler.update()
    return judge_sweep(points, has_broken_out=has_broken_out)


def judge_sweep(points: Sequence[LRPoint], *, has_broken_out: bool) -> LRRange:
    """Where the mean loss falls steepest over the logarithm of the rate, before its lowest point.

    The rates grow by the same factor each step, so that is where it falls most from step to step. What happens before a
    tenth of the whole fall is behind it is chance: the loss differs more between steps than such low rates change it.
    """
    means = smooth([point.loss for point in points])
    bottom = min(range(len(means)), key=means.__getitem__, default=0)
    suggestion = None
    if means and (fall := means[0] - means[bottom]) > _LEAST_FALL * means[0]:
        is_late = [mean < means[0] - 0.1 * fall for mean in means[: bottom + 1]]
        started = max((index for index, late in enumerate(is_late) if not late), default=0) + 1
        drops = {index: means[index - 1] - means[index] for index in range(started, bottom + 1)}
        suggestion = points[max(drops, key=drops.__getitem__)].learning_rate
    breakout = points[-1].learning_rate if points and has_broken_out else None
    return LRRange(points=list(points), suggestion=suggestion, breakout=breakout)


def smooth(losses: Sequence[float]) -> list[float]:
    """Means with the neighbours on both sides, so that nothing is moved to higher rates."""
    return [fmean(losses[max(index - _REACH, 0) : index + _REACH + 1]) for index in range(len(losses))]
