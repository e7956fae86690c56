"""Turn the data of a configuration into training examples and validation batches, counting all that cannot be used."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiny_audio.data.feature_cache import CachedUtterance, FeatureCache
from tiny_audio.data.manifest import read_manifest
from tiny_audio.data.stream import Batch, TrainingExample, collate
from tiny_audio.errors import ConfigError
from tiny_audio.models.ctc import frames_needed
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.text.prompts import Tokenizer, encode_transcript
from tiny_audio.training.feature_extraction import cache_features
from tiny_audio.weights.ctranslate2 import read_whisper
from tiny_audio.weights.store import WHISPER_BASE, fetch

_VALIDATION_BATCH = 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Infeasible:
    """An utterance that CTC cannot align: it has fewer audio tokens than its labels need."""

    id: str
    audio_tokens: int
    needed: int
    text: str


def open_cache(path: Path, run_folder: Path) -> FeatureCache:
    """A feature cache; a manifest is encoded into one inside the run's folder first.

    Raises:
        ManifestError: neither a cache nor a manifest.
    """
    if path.is_dir():
        return FeatureCache(path)
    folder = run_folder / "features" / "-".join(path.with_suffix("").parts[-2:]).strip("/")
    encoder = WhisperEncoder.from_state_dict(read_whisper(fetch(WHISPER_BASE), stacks=("encoder",)))
    meta: dict[str, object] = {"encoder": WHISPER_BASE.name, "manifest": str(path)}
    report = cache_features(read_manifest(path), encoder, folder, meta=meta)
    for reason in report.skipped.values():
        logger.warning("skipped %s", reason)
    return FeatureCache(folder)


def training_examples(
    sources: Iterable[str], run_folder: Path, tokenizer: Tokenizer, *, stack_factor: int
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
        cache = open_cache(Path(name), run_folder)
        for utterance in cache:
            labels = encode_transcript(tokenizer, utterance.text) if utterance.text.strip() else []
            audio_tokens = -(-utterance.num_frames // stack_factor)
            needed = frames_needed(labels)
            if audio_tokens < needed:
                infeasible.append(
                    Infeasible(id=utterance.id, audio_tokens=audio_tokens, needed=needed, text=utterance.text)
                )
                continue
            example = TrainingExample(cache=cache, utterance=utterance, labels=tuple(labels))
            examples += [example] * (int(times) if times else 1)
    if not examples:
        raise ConfigError([f"no utterance to train on in {list(sources)}; {len(infeasible)} were infeasible for CTC"])
    return examples, infeasible


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


def validation_batches(source: str, run_folder: Path, *, max_utterances: int) -> list[Batch]:
    """Evenly spaced utterances of a cache or manifest."""
    cache = open_cache(Path(source), run_folder)
    step = max(len(cache) / max_utterances, 1.0)
    chosen: list[CachedUtterance] = [cache[int(position * step)] for position in range(min(len(cache), max_utterances))]
    chosen.sort(key=lambda utterance: utterance.num_frames)
    examples = [TrainingExample(cache=cache, utterance=utterance, labels=()) for utterance in chosen]
    return [
        collate(examples[start : start + _VALIDATION_BATCH]) for start in range(0, len(examples), _VALIDATION_BATCH)
    ]
