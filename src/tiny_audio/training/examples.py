"""Turn the data of a configuration into training examples and validation batches, counting all that cannot be used."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tiny_audio.audio.timebase import seconds_to_samples
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.manifest import read_manifest
from tiny_audio.data.stream import Batch, CachedExample, RecordedExample, TrainingExample, collate
from tiny_audio.errors import ConfigError
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.ctc import frames_needed
from tiny_audio.models.encoders.build import build_encoder, encoder_fingerprint
from tiny_audio.training.feature_extraction import cache_features
from tiny_audio.training.objective import Objective

_VALIDATION_BATCH = 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Infeasible:
    """An utterance that CTC cannot align: it has fewer frames than its labels need."""

    id: str
    ctc_frames: int
    needed: int
    text: str


def open_cache(path: Path, run_folder: Path, config: EncoderConfig) -> FeatureCache:
    """A feature cache; a manifest is encoded into one inside the run's folder first.

    Raises:
        ConfigError: the cache was made with another encoder.
        ManifestError: neither a cache nor a manifest.
    """
    fingerprint = encoder_fingerprint(config)
    if path.is_dir():
        cache = FeatureCache(path)
        found = cache.meta.get("encoder_sha256")
        if found != fingerprint:
            raise ConfigError(
                [f"{path} was made with another encoder (SHA-256 {found}); expected {config.source} ({fingerprint})"]
            )
        return cache
    folder = run_folder / "features" / "-".join(path.with_suffix("").parts[-2:]).strip("/")
    meta: dict[str, object] = {"encoder": config.source, "encoder_sha256": fingerprint, "manifest": str(path)}
    report = cache_features(read_manifest(path), build_encoder(config), folder, meta=meta)
    for reason in report.skipped.values():
        logger.warning("skipped %s", reason)
    return FeatureCache(folder)


def training_examples(
    sources: Iterable[str], run_folder: Path, objective: Objective
) -> tuple[list[TrainingExample], list[Infeasible]]:
    """All feasible examples of `path` or `path*times` sources, and the infeasible ones.

    Raises:
        ConfigError: nothing is left to train on.
    """
    examples: list[TrainingExample] = []
    infeasible: list[Infeasible] = []
    for source in sources:
        name, _, times = source.partition("*")
        if times and not times.isdigit():
            raise ConfigError([f"train is '{source}'; expected path or path*times, such as {name}*3"])
        for example in _examples(Path(name), run_folder, objective):
            available, needed = objective.ctc_frames(example.num_frames), frames_needed(example.labels)
            if available is not None and available < needed:
                utterance = example.utterance
                infeasible.append(Infeasible(id=utterance.id, ctc_frames=available, needed=needed, text=utterance.text))
                continue
            examples += [example] * (int(times) if times else 1)
    if not examples:
        raise ConfigError([f"no utterance to train on in {list(sources)}; {len(infeasible)} were infeasible for CTC"])
    return examples, infeasible


def _examples(
    path: Path, run_folder: Path, objective: Objective, *, labelled: bool = True
) -> Iterator[TrainingExample]:
    """The utterances of a source: encoder output where the encoder is frozen, else recordings."""

    def labels(text: str) -> tuple[int, ...]:
        return objective.labels(text) if labelled else ()

    encoder = objective.encoder
    if isinstance(encoder, EncoderConfig):
        cache = open_cache(path, run_folder, encoder)
        for cached in cache:
            yield CachedExample(cache=cache, utterance=cached, labels=labels(cached.text))
        return
    for utterance in read_manifest(path):
        num_samples = torch.tensor([seconds_to_samples(utterance.duration)])
        num_frames = int(encoder.output_lengths(num_samples))
        yield RecordedExample(utterance=utterance, num_frames=num_frames, labels=labels(utterance.text))


def report_infeasible(infeasible: Sequence[Infeasible], total: int, path: Path) -> None:
    """Say how many utterances are left out and write each to a file."""
    if not infeasible:
        return
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(vars(item), ensure_ascii=False) + "\n" for item in infeasible)
    logger.warning(
        "%d of %d utterances left out: more text than CTC can align to their audio; see %s",
        len(infeasible),
        total,
        path,
    )


def validation_batches(source: str, run_folder: Path, objective: Objective, *, max_utterances: int) -> list[Batch]:
    """Evenly spaced utterances of a cache or manifest."""
    examples = list(_examples(Path(source), run_folder, objective, labelled=False))
    step = max(len(examples) / max_utterances, 1.0)
    chosen = [examples[int(position * step)] for position in range(min(len(examples), max_utterances))]
    chosen.sort(key=lambda example: example.num_frames)
    return [collate(chosen[start : start + _VALIDATION_BATCH]) for start in range(0, len(chosen), _VALIDATION_BATCH)]
