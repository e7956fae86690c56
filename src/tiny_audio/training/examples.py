"""Turn the data of a configuration into training examples and validation batches, counting all that cannot be used."""

import json
import logging
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from tiny_audio import atomic
from tiny_audio.audio.timebase import samples_to_seconds, seconds_to_samples
from tiny_audio.data.batch import Batch, CachedExample, Question, RecordedExample, TrainingExample, collate
from tiny_audio.data.feature_cache import CachedUtterance, FeatureCache
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.mixing import split_weight
from tiny_audio.data.shards import read_source
from tiny_audio.data.stream import Source
from tiny_audio.errors import ConfigError
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.ctc import frames_needed
from tiny_audio.models.ctc_feasibility import FeasibilityReport
from tiny_audio.models.encoders.build import build_frozen_part, encoder_fingerprint, stored_meta
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.training.config import DataConfig
from tiny_audio.training.feature_extraction import cache_features
from tiny_audio.training.objective import Objective
from tiny_audio.types import Seconds

DROPPED, INFEASIBLE = "dropped.jsonl", "infeasible.jsonl"
_VALIDATION_BATCH = 16
_ROUNDING_FRAMES = 2
"""A recording played faster may have so many frames fewer than the quotient: resampler and encoder round."""
Item = TypeVar("Item", Utterance, CachedUtterance)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """An utterance that is not trained on."""

    id: str
    reason: str
    duration: Seconds
    text: str


@dataclass(frozen=True, kw_only=True)
class Infeasible:
    """An utterance that CTC cannot align: it has fewer frames than its labels need."""

    id: str
    ctc_frames: int
    needed: int
    text: str


def training_sources(sources: Iterable[str], run_folder: Path, objective: Objective, data: DataConfig) -> list[Source]:
    """The examples of each `PATH` or `PATH*WEIGHT`; what cannot be used is counted, and listed in the run's folder.

    `dropped.jsonl` has what is too long or cannot be read, `infeasible.jsonl` what has more labels than CTC frames.

    Raises:
        ConfigError: nothing is left to train on, an utterance is too long, or too many are infeasible.
        ManifestError: a source is neither a cache, nor a manifest, nor shards.
    """
    found = []
    dropped: list[Dropped] = []
    infeasible: list[Infeasible] = []
    needed: list[int] = []
    available: list[int] = []
    for source in sources:
        path, weight = split_weight(source)
        feasible = []
        for example in _examples(path, run_folder, objective, data, dropped):
            frames = objective.ctc_frames(example.num_frames)
            if frames is not None:
                needed.append(frames_needed(example.labels))
                available.append(frames)
                if frames < needed[-1]:
                    utterance = example.utterance
                    infeasible.append(
                        Infeasible(id=utterance.id, ctc_frames=frames, needed=needed[-1], text=utterance.text)
                    )
                    continue
            feasible.append(example)
        found.append(Source(examples=feasible, weight=weight))
    _write_list(run_folder / DROPPED, dropped)
    _write_list(run_folder / INFEASIBLE, infeasible)
    if dropped:
        logger.warning("%d utterances dropped, with the reasons in %s", len(dropped), run_folder / DROPPED)
    _check_feasibility(FeasibilityReport(needed=needed, available=available), infeasible, run_folder, data)
    if not any(source.examples for source in found):
        counts = f"{len(dropped)} were dropped, {len(infeasible)} are infeasible for CTC"
        raise ConfigError([f"no utterance to train on in {list(sources)}; {counts}"])
    if data.augment is not None and all(isinstance(one, CachedExample) for source in found for one in source.examples):
        logger.warning(
            "data.augment changes recordings, and these are stored features: `data cache --augment` varies them"
        )
    return found


def _check_feasibility(
    report: FeasibilityReport, infeasible: Sequence[Infeasible], run_folder: Path, data: DataConfig
) -> None:
    """Log how many there are.

    Raises:
        ConfigError: more than `data.max_infeasible` allows.
    """
    if not report.needed:
        return
    logger.log(logging.WARNING if infeasible else logging.INFO, "CTC: %s", report)
    if report.share_infeasible > data.max_infeasible:
        worst = min(infeasible, key=lambda item: item.ctc_frames / item.needed)
        raise ConfigError(
            [
                f"{len(infeasible)} of {len(report.needed)} utterances ({report.share_infeasible:.1%}) have more labels"
                f" than CTC can align to their frames, above data.max_infeasible={data.max_infeasible:g}; the worst"
                f" is '{worst.id}' with {worst.ctc_frames} frames, needing {worst.needed}; all are in"
                f" {run_folder / INFEASIBLE}. Lose fewer frames (a smaller stack factor, head_upsample 2), use larger"
                " units, or leave them out with --set data.max_infeasible=1"
            ]
        )


def validation_batches(source: str, run_folder: Path, objective: Objective, *, max_utterances: int) -> list[Batch]:
    """Evenly spaced utterances of a cache, a manifest or shards.

    Raises:
        ConfigError: the cache was made with another encoder.
        ManifestError: neither a cache, nor a manifest, nor shards.
    """
    dropped: list[Dropped] = []
    settings = DataConfig(on_overflow="drop")
    examples = list(_examples(source, run_folder, objective, settings, dropped, labelled=False))
    for item in dropped:
        logger.warning("validation leaves out '%s': %s", item.id, item.reason)
    step = max(len(examples) / max_utterances, 1.0)
    chosen = [examples[int(position * step)] for position in range(min(len(examples), max_utterances))]
    chosen.sort(key=lambda example: example.num_frames)
    return [collate(chosen[start : start + _VALIDATION_BATCH]) for start in range(0, len(chosen), _VALIDATION_BATCH)]


def _open_cache(path: Path, config: EncoderConfig) -> FeatureCache:
    """A cache that this encoder made."""
    cache, fingerprint = FeatureCache(path), encoder_fingerprint(config)
    found = cache.meta.get("encoder_sha256")
    if found != fingerprint:
        raise ConfigError(
            [f"{path} was made with another encoder (SHA-256 {found}); expected {config.source} ({fingerprint})"]
        )
    if (block := cache.meta.get("block")) != config.stored_block:
        kinds = [
            "the encoder's output" if one is None else f"the input of its block {one}"
            for one in (block, config.stored_block)
        ]
        raise ConfigError(
            [f"{path} holds {kinds[0]}; this training reads {kinds[1]} (model.encoder.lora.first_block); cache it anew"]
        )
    return cache


def _encode(
    source: str, utterances: Sequence[Utterance], run_folder: Path, config: EncoderConfig, encoder: Encoder
) -> tuple[FeatureCache, dict[str, str]]:
    """Features of a source in the run's folder, and why some could not be had."""
    name = "-".join(Path(source).with_suffix("").parts[-2:])
    folder = run_folder / "features" / re.sub(r"[^\w.-]+", "_", name).strip("_")
    report = cache_features(utterances, encoder, folder, meta={**stored_meta(config), "manifest": source})
    return FeatureCache(folder), report.skipped


def _examples(
    source: str,
    run_folder: Path,
    objective: Objective,
    data: DataConfig,
    dropped: list[Dropped],
    *,
    labelled: bool = True,
) -> list[TrainingExample]:
    """The utterances of a source: encoder output where the encoder is frozen, else recordings."""

    def labels(text: str) -> tuple[int, ...]:
        return objective.labels(text) if labelled else ()

    def question(item: Item) -> Question | None:
        if objective.writes_labels and not _has_task(item):
            return None
        user = objective.teach(item.task if _has_task(item) else "transcribe")
        return None if user is None else Question(user=user, answer=objective.answer(item.response or item.text))

    config = objective.encoder
    if isinstance(config, EncoderConfig) and Path(source).is_dir():
        cache = _open_cache(Path(source), config)
        known = _teachable(cache, objective, dropped, labelled=labelled)
        known = _short_enough(known, data.max_duration or math.inf, data, dropped)
        return [
            CachedExample(cache=cache, utterance=one, labels=labels(one.text), question=question(one)) for one in known
        ]
    encoder = build_frozen_part(config) if isinstance(config, EncoderConfig) else config
    limit = samples_to_seconds(encoder.max_samples) if encoder.max_samples is not None else math.inf
    utterances = _teachable(read_source(source), objective, dropped, labelled=labelled)
    utterances = _short_enough(utterances, min(data.max_duration or math.inf, limit), data, dropped)
    if isinstance(config, Encoder):
        all_labels = [labels(one.text) for one in utterances]
        recorded = _recorded(utterances, all_labels, objective, encoder, limit)
        return [replace(one, question=question(one.utterance)) for one in recorded]
    cache, skipped = _encode(source, utterances, run_folder, config, encoder)
    by_id = {one.id: one for one in utterances}
    dropped += [_dropped(by_id[id], reason) for id, reason in skipped.items()]
    # The manifest decides: its texts may have been corrected since, and some of its utterances left out.
    examples: list[TrainingExample] = []
    for one in cache:
        if (given := by_id.get(one.id)) is not None:
            utterance = replace(one, text=given.text, task=given.task, response=given.response)
            asked = question(given)
            examples.append(CachedExample(cache=cache, utterance=utterance, labels=labels(given.text), question=asked))
    return examples


def _recorded(
    utterances: Sequence[Utterance],
    labels: Sequence[tuple[int, ...]],
    objective: Objective,
    encoder: Encoder,
    limit: Seconds,
) -> list[RecordedExample]:
    """Recordings, each with the speeds at which it still fits the encoder and leaves CTC enough frames."""
    num_samples = torch.tensor([seconds_to_samples(one.duration) for one in utterances], dtype=torch.long)
    num_frames = encoder.output_lengths(num_samples).tolist() if utterances else []
    ctc_frames = [objective.ctc_frames(frames) or 0 for frames in range(1, max(num_frames, default=0) + 1)]
    has_ctc = objective.ctc_frames(1) is not None

    def fastest(frames: int, row: tuple[int, ...]) -> float:
        if not has_ctc:
            return math.inf
        enough = bisect_left(ctc_frames, frames_needed(row)) + 1
        return max(frames / (enough + _ROUNDING_FRAMES), 1.0)

    return [
        RecordedExample(
            utterance=one, num_frames=frames, labels=row, speed_limits=(one.duration / limit, fastest(frames, row))
        )
        for one, frames, row in zip(utterances, num_frames, labels, strict=True)
    ]


def _has_task(item: Utterance | CachedUtterance) -> bool:
    """Whether something else than its transcript is asked about it."""
    return item.task not in ("", "transcribe")


def _teachable(items: Iterable[Item], objective: Objective, dropped: list[Dropped], *, labelled: bool) -> list[Item]:
    """Those whose task and text this training teaches; to validate, those that are to be transcribed."""
    kept = []
    for item in items:
        if not _has_task(item):
            if labelled and (reason := objective.refuses(item.text)) is not None:
                dropped.append(_dropped(item, reason))
            else:
                kept.append(item)
        elif not labelled:
            continue
        elif not (item.response or item.text).strip():
            dropped.append(_dropped(item, f"asks for '{item.task}' and has no response to learn"))
        elif objective.teach(item.task) is not None:
            kept.append(item)
        else:
            dropped.append(_dropped(item, f"asks for '{item.task}', and this training teaches transcripts alone"))
    return kept


def _short_enough(items: Iterable[Item], limit: Seconds, data: DataConfig, dropped: list[Dropped]) -> list[Item]:
    """Those that are not too long; others are an error, or dropped, as `data.on_overflow` says.

    A part of a recording cannot be trained on before something says which words are in it: `data chunk` does.
    """
    fitting: list[Item] = []
    long: list[Item] = []
    for item in items:
        (fitting if item.duration <= limit else long).append(item)
    if long and data.on_overflow == "error":
        longest = max(long, key=lambda item: item.duration)
        raise ConfigError(
            [
                f"{len(long)} utterances are longer than {limit:g} s, up to '{longest.id}' with"
                f" {longest.duration:.2f} s; cut them with `tiny-audio data chunk --max-duration {limit:g}`,"
                " or drop them with --set data.on_overflow=drop"
            ]
        )
    dropped += [_dropped(item, f"{item.duration:.2f} s, longer than {limit:g} s") for item in long]
    return fitting


def _dropped(item: Utterance | CachedUtterance, reason: str) -> Dropped:
    return Dropped(id=item.id, reason=reason, duration=item.duration, text=item.text)


def _write_list(path: Path, items: Sequence[Dropped | Infeasible]) -> None:
    """A line for each; no file where there is none, not even of a run before."""
    path.unlink(missing_ok=True)
    if items:
        atomic.write_text(path, "".join(json.dumps(vars(item), ensure_ascii=False) + "\n" for item in items))
