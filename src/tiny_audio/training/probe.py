"""What a step of training takes here: seconds and bytes, measured on a few real steps.

Time and memory grow with the audio that is computed at once, padding included, plus something that does not. Two sizes
of step give both.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from tiny_audio.data.batch import Batch, TrainingExample
from tiny_audio.data.stream import Source, Step, StepStream
from tiny_audio.free_memory import return_free_memory
from tiny_audio.training.config import TrainConfig
from tiny_audio.training.environment import device_name
from tiny_audio.training.objective import Objective
from tiny_audio.training.optimizer import build_optimizer, trained_parameters
from tiny_audio.training.precision import compute_dtype, mixed_precision
from tiny_audio.training.step_computer import StepComputer
from tiny_audio.types import Seconds

_SMALL = 0.25
"""Audio of the smaller steps, as a share of that of the larger."""
_MAX_TIME: Seconds = 30.0
"""After which no further step of the same size is timed."""
_TIMED_STEPS = 3
_SAMPLING: Seconds = 0.002


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Measured on a device."""

    device: str
    is_gpu: bool
    step_duration: Seconds
    """Mean audio of a whole step, without padding."""
    step_time: Seconds
    """It took."""
    state_bytes: int
    """Weights, gradients and the optimizer's moments."""
    fixed_bytes: int
    """Needed for a step of whatever size, beside the state."""
    bytes_per_second: float
    """For a second of audio, padding included, that is computed at once."""
    fitted: Seconds
    """Audio, padding included, of the largest batch that fitted this device's memory."""

    @property
    def speed(self) -> float:
        """Seconds of audio trained on in a second."""
        return self.step_duration / self.step_time

    def memory(self, micro_batch: Seconds) -> int:
        """Bytes needed with batches of that much audio."""
        return round(self.state_bytes + self.fixed_bytes + self.bytes_per_second * micro_batch)


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Steps of one size."""

    time: Seconds
    audio: Seconds
    padded: Seconds
    """Of the largest batch."""
    peak_bytes: int
    """Beyond what was there before the steps."""


def probe(objective: Objective, examples: Sequence[TrainingExample], config: TrainConfig) -> Probe:
    """Take a few steps of two sizes; the weights are spoilt.

    Args:
        objective: of the stage, ready to be trained.
        examples: some; they are repeated until there are enough for steps.
        config: of the stage.

    Raises:
        TrainingError: a single utterance does not fit the memory.
    """
    dtype = compute_dtype(objective.device, config.optim.precision)
    computer = StepComputer(
        objective,
        autocast=lambda: mixed_precision(objective.device, dtype),
        scaler=torch.amp.GradScaler(objective.device.type, enabled=False),
    )
    optimizer = build_optimizer(objective, config.optim)
    objective.prepare([example.labels for example in examples], config)
    objective.train()
    large = config.optim.max_batch_duration
    small = _measure(computer, optimizer, objective, _steps(objective, examples, _SMALL * large), steps_to_time=1)
    whole = _measure(computer, optimizer, objective, _steps(objective, examples, large), steps_to_time=_TIMED_STEPS)
    fitted = min(whole.padded, computer.max_frames / objective.frame_rate or whole.padded)
    slope = max(whole.peak_bytes - small.peak_bytes, 0) / max(fitted - small.padded, 1e-3)
    state = _state_bytes(objective, optimizer)
    return Probe(
        device=_device_name(objective.device),
        is_gpu=objective.device.type == "cuda",
        step_duration=whole.audio,
        step_time=whole.time,
        state_bytes=state,
        fixed_bytes=round(max(whole.peak_bytes - slope * fitted, 0)),
        bytes_per_second=slope,
        fitted=fitted,
    )


def _steps(
    objective: Objective, examples: Sequence[TrainingExample], duration: Seconds
) -> Iterator[tuple[Step, list[Batch]]]:
    """Real steps of that much audio: of similar lengths, padded as in training."""
    shown = sum(example.num_frames for example in examples) / objective.frame_rate
    source = Source(examples=examples, weight=max(4 * duration / shown, 1.0))
    stream = StepStream([source], max_step_frames=max(round(duration * objective.frame_rate), 1), seed=0)
    return stream.loader(0, _TIMED_STEPS + 1)


def _measure(
    computer: StepComputer,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    steps: Iterator[tuple[Step, list[Batch]]],
    *,
    steps_to_time: int,
) -> _Measured:
    """Take one step that does not count, for all that happens only once, then some that do."""
    times, audio, padded, peak = [], [], 0.0, 0
    for number, (step, batches) in enumerate(steps):
        optimizer.zero_grad(set_to_none=True)
        started = time.perf_counter()
        with peak_memory(objective.device) as memory:
            computer.compute(step, batches)
            optimizer.step()
            if objective.device.type == "cuda":
                torch.cuda.synchronize(objective.device)
        if number == 0:
            continue
        times.append(time.perf_counter() - started)
        audio.append(step.duration)
        frames = max(len(batch.ids) * int(batch.lengths_B.max()) for batch in batches)
        padded = max(padded, frames / objective.frame_rate)
        peak = max(peak, memory.bytes)
        if number == steps_to_time or sum(times) > _MAX_TIME:
            break
    return _Measured(time=sum(times) / len(times), audio=sum(audio) / len(audio), padded=padded, peak_bytes=peak)


class PeakMemory:
    """How much more memory there was at most than at the beginning."""

    bytes: int = 0


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Measure a block of code: what the GPU's allocator says, or else the resident memory of this process."""
    memory = PeakMemory()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield memory
        memory.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    # What is free but not given back would be used first, and no growth be seen.
    return_free_memory()
    process = psutil.Process()
    is_kept = _forget_peak()
    before = process.memory_info().rss
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_SAMPLING):
            memory.bytes = max(memory.bytes, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        is_over.set()
        watcher.join()
        if is_kept:  # a short peak falls between two samples where the machine is busy
            memory.bytes = max(memory.bytes, _kept_peak() - before)


def _forget_peak() -> bool:
    """Let the system keep this process's highest resident memory from now on; False where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        return _kept_peak() > 0
    except OSError:
        return False


def _kept_peak() -> int:
    """Bytes; 0 where the system does not say."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _state_bytes(objective: Objective, optimizer: torch.optim.Optimizer) -> int:
    """Weights and buffers, each once; of what is trained a gradient; and the optimizer's tensors."""
    held = {tensor.data_ptr(): tensor.nbytes for tensor in [*objective.parameters(), *objective.buffers()]}
    gradients = sum(parameter.nbytes for parameter in trained_parameters(objective).values())
    moments = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return sum(held.values()) + gradients + sum(tensor.nbytes for tensor in moments)


def _device_name(device: torch.device) -> str:
    name = device_name(device)
    return name if device.type == "cuda" else f"{name or 'this CPU'}, {torch.get_num_threads()} threads"
