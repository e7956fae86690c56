"""From a measured probe to a plan: how many steps fit into a time, and how much audio into a memory."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tiny_audio.data.batch import CachedExample
from tiny_audio.training.build import build_objective
from tiny_audio.training.config import TrainConfig
from tiny_audio.training.probe import Probe, probe
from tiny_audio.training.sample import sample_source
from tiny_audio.types import Seconds

_RESERVED = 0.1
"""Of the time, for validation, checkpoints and starting."""
_USABLE = 0.9
"""Of the memory; the rest is lost between tensors."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What there is."""

    time: Seconds
    memory: int | None = None
    """Bytes; None: as much as it takes."""
    price_per_hour: float | None = None


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What there is to train on."""

    num_utterances: int
    duration: Seconds
    features_bytes: int
    """Encoder output of all of it; 0 where recordings are trained on."""
    encoding_time: Seconds = 0.0
    """Before the first step, for what is not stored yet."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How a run would go."""

    max_steps: int
    epochs: float
    audio: Seconds
    """Seen in all steps."""
    micro_batch: Seconds
    """Audio computed at once; 0: whole steps. Negative: not even the smallest fits."""
    memory: int
    """Bytes needed with it."""
    encoding_time: Seconds
    training_time: Seconds
    """Of the steps alone."""
    total_time: Seconds
    is_cut: bool
    """The time is over before the recipe's epochs are."""
    cost: float | None

    @property
    def fits(self) -> bool:
        """Whether there is memory and time for it."""
        return self.micro_batch >= 0 and self.max_steps > 0

    def settings(self, config: TrainConfig) -> list[str]:
        """What of the configuration it changes, as for `--set`."""
        found = [f"optim.max_steps={self.max_steps}"]
        if self.micro_batch:
            found.append(f"optim.max_micro_batch_duration={self.micro_batch:g}")
        if config.optim.warmup_steps > self.max_steps // 10:
            found.append(f"optim.warmup_steps={max(self.max_steps // 10, 1)}")
        found += [
            f"{name}={max(self.max_steps // 10, 1)}"
            for name in ("validate_every", "save_every")
            if getattr(config, name) > self.max_steps // 4
        ]
        return found


def measure_stage(config: TrainConfig, *, num_utterances: int) -> tuple[Probe, Corpus]:
    """A probe of the stage on some of its training data, and the size of all of it.

    Raises:
        ConfigError, ManifestError: data that cannot be trained on.
        WeightsError: frozen weights that can neither be found nor fetched.
    """
    with tempfile.TemporaryDirectory() as scratch:
        objective = build_objective(config, Path(scratch))
        count = -(-num_utterances // len(config.train))
        samples = [
            sample_source(source, objective, count=count, folder=Path(scratch) / str(number))
            for number, source in enumerate(config.train)
        ]
        examples = [one for sample in samples for one in sample.examples]
        measured = probe(objective, examples, config)
        dim = examples[0].cache.dim if isinstance(examples[0], CachedExample) else 0
        duration = sum(sample.duration for sample in samples)
        corpus = Corpus(
            num_utterances=sum(sample.num_utterances for sample in samples),
            duration=duration,
            features_bytes=round(duration * objective.frame_rate * dim * 2),
            encoding_time=sum(one.duration / one.encoding_speed for one in samples if one.encoding_speed),
        )
    return measured, corpus


def plan_training(measured: Probe, corpus: Corpus, config: TrainConfig, budget: Budget) -> TrainingPlan:
    """Use the time for as many steps as it has room for, but not for more than the configuration asks for."""
    left = (1 - _RESERVED) * budget.time - corpus.encoding_time
    affordable = max(int(left / measured.step_time), 0)
    wanted = config.optim.max_steps or round(config.optim.epochs * corpus.duration / measured.step_duration) or 1
    max_steps = min(affordable, wanted)
    micro_batch = _micro_batch(measured, config.optim.max_batch_duration, budget.memory)
    audio = max_steps * measured.step_duration
    training_time = max_steps * measured.step_time
    total = corpus.encoding_time + training_time / (1 - _RESERVED)
    return TrainingPlan(
        max_steps=max_steps,
        epochs=audio / corpus.duration,
        audio=audio,
        micro_batch=micro_batch,
        memory=measured.memory(micro_batch if micro_batch > 0 else config.optim.max_batch_duration),
        encoding_time=corpus.encoding_time,
        training_time=training_time,
        total_time=total,
        is_cut=affordable < wanted,
        cost=None if budget.price_per_hour is None else budget.price_per_hour * total / 3600,
    )


def _micro_batch(measured: Probe, whole: Seconds, memory: int | None) -> Seconds:
    """Largest amount of audio at once that fits, in whole seconds."""
    if memory is None or measured.memory(whole) <= _USABLE * memory:
        return 0.0
    room = _USABLE * memory - measured.memory(0.0)
    largest = room // max(measured.bytes_per_second, 1.0)
    return min(largest, whole) if largest >= 1 else -1.0
