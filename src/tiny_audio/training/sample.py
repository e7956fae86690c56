"""A few utterances of a source, labelled and ready to be learnt from, to measure something on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tiny_audio.data.batch import TrainingExample
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.manifest import write_manifest
from tiny_audio.data.mixing import split_weight
from tiny_audio.data.shards import read_source
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.training.config import DataConfig
from tiny_audio.training.examples import training_sources
from tiny_audio.training.objective import Objective
from tiny_audio.types import Seconds

Item = TypeVar("Item")
_TAKE_ALL = DataConfig(on_overflow="drop", max_infeasible=1.0)
"""What cannot be trained on is left out; how much that is, others say."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Utterances of one source."""

    examples: list[TrainingExample]
    """Those taken, without any that cannot be trained on."""
    num_utterances: int
    """Of the whole source."""
    duration: Seconds
    """Of the whole source."""
    encoding_speed: float | None = None
    """Seconds of audio that the frozen encoder read in a second, loading it included; None: nothing was to be read."""


def sample_source(source: str, objective: Objective, *, count: int, folder: Path) -> Sample:
    """Take utterances evenly spaced from a cache or a manifest; of a manifest no more is encoded than is taken.

    Args:
        source: as in `TrainConfig.train`.
        objective: labels the texts.
        count: how many to take.
        folder: for the encoder's output.

    Raises:
        ConfigError: nothing usable in it, or a cache of another encoder.
        ManifestError: neither a cache nor a manifest.
    """
    path, _ = split_weight(source)
    is_cache = Path(path).is_dir()
    if is_cache:
        durations = [one.duration for one in FeatureCache(Path(path))]
    else:
        whole = read_source(path)
        durations = [one.duration for one in whole]
        path = str(folder / "sample.jsonl")
        write_manifest(path, spread(whole, count))
    started = time.perf_counter()
    (found,) = training_sources([path], folder, objective, _TAKE_ALL)
    elapsed = time.perf_counter() - started
    examples = spread([example for example in found.examples if example.labels], count)
    is_encoded = isinstance(objective.encoder, EncoderConfig) and not is_cache
    return Sample(
        examples=examples,
        num_utterances=len(durations),
        duration=sum(durations),
        encoding_speed=sum(one.utterance.duration for one in examples) / elapsed if is_encoded else None,
    )


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count`, evenly spaced."""
    step = max(len(items) / count, 1.0)
    return [items[int(position * step)] for position in range(min(len(items), count))]
