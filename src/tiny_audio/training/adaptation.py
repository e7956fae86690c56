"""Adapt a model to one's own recordings, without forgetting the rest, and measure whether it helped.

Beside the new recordings a little general speech is shown again. What is learnt is then taken only as far as general
accuracy allows: the weights between the old and the new model are models too, and often better ones (arXiv 2109.01903).
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tiny_audio.data.augment import AugmentConfig
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.replay import replay_utterances
from tiny_audio.data.split import TRAIN, split_utterances
from tiny_audio.errors import DatasetError
from tiny_audio.evaluation.bootstrap import Comparison
from tiny_audio.evaluation.evaluate import evaluate
from tiny_audio.evaluation.results import SystemResult
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.averaging import average_checkpoints
from tiny_audio.models.checkpoint import read_config
from tiny_audio.models.ctc_model import is_ctc_checkpoint
from tiny_audio.models.encoders.build import build_frozen_part, stored_meta
from tiny_audio.training.config import CTCSystem, DataConfig, MaskConfig, OptimConfig, TrainConfig
from tiny_audio.training.feature_extraction import cache_features
from tiny_audio.training.loop import train
from tiny_audio.training.observer import Observer
from tiny_audio.types import Seconds

MIN_UTTERANCES = 10
"""Fewer say nothing about the difference that they make."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How much is learnt, and what may be lost."""

    steps: int = 240
    step_duration: Seconds = 40.0
    """Audio in a step."""
    learning_rate: float = 1e-4
    """Of the projector. Three times as fast it forgets more for the same gain (experiments/LOG.md, 2026-11-21)."""
    lora_learning_rate: float = 5e-4
    """Of the adapters in the encoder, and in the language model of a projector that is not aligned."""
    letter_steps: int = 120
    """Of the letters, where the model has them: they read what the encoder gives, which has changed."""
    letter_learning_rate: float = 5e-4
    copies: int = 6
    """Versions of each recording, with other speeds, rooms, levels and noise."""
    held_out: float = 0.2
    """Share of the recordings that are only measured with, where no others are given for that."""
    max_general_loss: float = 0.005
    """By how much the word error rate of general speech may rise; a fraction."""
    shares: tuple[float, ...] = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
    """How far to go from the old weights to the new ones, tried in this order until general accuracy is kept. Farther,
    hardly more is learnt and most is forgotten (experiments/LOG.md)."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What came of it."""

    model: Path
    """Folder of the adapted checkpoint."""
    share: float
    """How far it is from the old weights to the trained ones."""
    own: tuple[SystemResult, SystemResult]
    """Before and after, on one's own recordings that were not trained on."""
    general: tuple[SystemResult, SystemResult]
    """Before and after, on general speech that was not trained on."""

    @property
    def comparison(self) -> Comparison:
        """After against before, paired."""
        return self.own[1].compared_to(self.own[0])

    @property
    def keeps_general(self) -> bool:
        """Whether general speech is understood as well as before, but for chance."""
        return not self.general[1].compared_to(self.general[0]).is_worse

    @property
    def verdict(self) -> str:
        """In a sentence; chance is not called a gain."""
        before, after = self.own
        low, high = (100 * end for end in (self.comparison.interval.low, self.comparison.interval.high))
        change = f"{before.wer:.1%} -> {after.wer:.1%}, difference [{low:+.1f}, {high:+.1f}] points"
        if self.comparison.is_better:
            return f"better: {change}" + ("" if self.keeps_general else "; but worse on general speech")
        if self.comparison.is_worse:
            return f"worse: {change}; keep the old model"
        return f"not shown to be better: {change}, which may be chance; more recordings would tell"


def adapt(
    model: str,
    utterances: Sequence[Utterance],
    output_dir: Path,
    *,
    validation: Sequence[Utterance] | None = None,
    config: AdaptConfig | None = None,
    observers: Iterable[Observer] = (),
) -> Adaptation:
    """Train a copy of a model on recordings and measure it before and after.

    Args:
        model: a shipped model or a checkpoint folder, with an aligned projector or another.
        utterances: with texts.
        output_dir: gets `model/` (the checkpoint), `run/` and, of a model with letters, `letters/` (the training runs)
            and features; goes on when interrupted.
        validation: what to measure with; by default a share of the recordings, whose texts are not trained on.
        config: how.
        observers: who watches the training.

    Raises:
        DatasetError: too few recordings.
        CheckpointError, UnknownNameError: no such model.
    """
    config = config or AdaptConfig()
    trained, held_out = _divide(utterances, validation, config)
    replayed, general = replay_utterances()
    output_dir.mkdir(parents=True, exist_ok=True)
    stage = _stage(model)
    data = DataConfig(max_infeasible=1.0)  # of few recordings, one bad one is many; it is left out, counted and listed
    if isinstance(stage.model, ASRConfig) and stage.model.encoder.is_storable:
        sources = [
            _cache(trained, stage.model, output_dir / "features" / "own", copies=config.copies, seed=config.seed),
            _cache(replayed, stage.model, output_dir / "features" / "replay", copies=1, seed=config.seed),
        ]
    else:  # the encoder learns too: it hears the recordings, changed each time
        data = replace(data, augment=AugmentConfig())
        sources = [output_dir / "own.jsonl", output_dir / "replay.jsonl"]
        for path, part in zip(sources, (trained, replayed), strict=True):
            write_manifest(path, part)
    optim = OptimConfig(
        learning_rate=config.learning_rate,
        lora_learning_rate=config.lora_learning_rate,
        warmup_steps=10,
        max_steps=config.steps,
        max_batch_duration=config.step_duration,
    )
    stage = replace(stage, train=tuple(map(str, sources)), data=data, seed=config.seed)
    hearing = replace(
        stage,
        init=model,
        optim=optim,
        # Where the CTC has letters, each step spells all the tokens that it compares.
        num_frequent_tokens=3_500,
        num_random_tokens=2_000,
    )
    checkpoint = train(hearing, output_dir / "run", observers=observers).checkpoint
    if isinstance(stage.model, ASRConfig) and stage.model.characters is not None:
        optim = replace(optim, learning_rate=config.letter_learning_rate, max_steps=config.letter_steps)
        letters = replace(stage, objective="characters", init=str(checkpoint), optim=optim)
        checkpoint = train(letters, output_dir / "letters", observers=observers).checkpoint
    return _as_far_as_allowed(model, checkpoint, output_dir / "model", held_out, general, config)


def _divide(
    utterances: Sequence[Utterance], validation: Sequence[Utterance] | None, config: AdaptConfig
) -> tuple[Sequence[Utterance], Sequence[Utterance]]:
    if len(utterances) < MIN_UTTERANCES:
        raise DatasetError(f"found {len(utterances)} recordings; expected {MIN_UTTERANCES} or more to adapt to")
    if validation is not None:
        return utterances, validation
    parts = split_utterances(utterances, {"dev": config.held_out}, seed=config.seed, by="text").parts
    return parts[TRAIN], parts["dev"]


def _stage(model: str) -> TrainConfig:
    """What goes on training a checkpoint of that kind."""
    if is_ctc_checkpoint(model):
        return TrainConfig(objective="ctc", model=CTCSystem())
    config = read_config(model)
    mask = MaskConfig(spans_per_second=0.6)
    if not config.projector.aligned:
        return TrainConfig(objective="speech_llm", model=config, mask=mask)
    # The language model stays: a little text of one's own makes it forget more than it learns (experiments/LOG.md).
    return TrainConfig(objective="align", model=replace(config, draft_only=True), mask=mask)


def _cache(part: Sequence[Utterance], config: ASRConfig, folder: Path, *, copies: int, seed: int) -> Path:
    """The recordings through the encoder, in several versions."""
    meta = {**stored_meta(config.encoder), "utterances": [utterance.id for utterance in part]}
    encoder = build_frozen_part(config.encoder)
    report = cache_features(part, encoder, folder, meta=meta, copies=copies, augmented=True, seed=seed)
    for reason in report.skipped.values():
        logger.warning("skipped %s", reason)
    return folder


def _as_far_as_allowed(
    model: str,
    trained: Path,
    folder: Path,
    held_out: Sequence[Utterance],
    general: Sequence[Utterance],
    config: AdaptConfig,
) -> Adaptation:
    """The first of the shares that keeps general accuracy, or else the last; measured."""
    old = Transcriber.from_pretrained(model)
    own_before, general_before = evaluate(old, held_out), evaluate(old, general)
    for share in config.shares:
        average_checkpoints({model: 1.0 - share, trained: share}, folder)
        new = Transcriber.from_pretrained(folder)
        general_after = evaluate(new, general)
        if general_after.wer <= general_before.wer + config.max_general_loss:
            break
    return Adaptation(
        model=folder,
        share=share,
        own=(own_before, evaluate(new, held_out)),
        general=(general_before, general_after),
    )
