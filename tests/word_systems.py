"""Five words, each of them 12 encoder frames of its own pattern, and systems that learn them in seconds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from miniatures import LLM_DIM, save_llm
from tiny_audio.data.batch import CachedExample, TrainingExample
from tiny_audio.data.feature_cache import FeatureCache, FeatureCacheWriter
from tiny_audio.data.stream import Source, StepStream
from tiny_audio.models.asr_config import EncoderConfig, LLMConfig, LoRAConfig, ProjectorConfig
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.training.config import MaskConfig, OptimConfig, TrainConfig
from tiny_audio.training.objective import Objective
from tiny_audio.training.optimizer import build_optimizer, set_learning_rate
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_models import TINY_CONFIG, TINY_WHISPER, WORDS, tiny_asr_model

ENCODER_DIM = 8
_ALIGN = replace(
    TINY_CONFIG,
    encoder=EncoderConfig(source=None, architecture=TINY_WHISPER),  # whose output the patterns stand for
    encoder_dim=ENCODER_DIM,
    projector=ProjectorConfig(hidden_dim=32, num_blocks=1, dropout=0.0),
    llm=LLMConfig(source=None),
    draft_only=True,
)
_ADAPTED = replace(_ALIGN, draft_only=False, llm=LLMConfig(source=None, training="lora", lora=LoRAConfig(rank=4)))
SYSTEMS = {
    "align": _ALIGN,
    "correct": _ADAPTED,
    "speech_llm": replace(_ADAPTED, projector=replace(_ALIGN.projector, kind="mlp", aligned=False)),
}


def word_cache(folder: Path, *, num_utterances: int = 24, seed: int = 0) -> FeatureCache:
    """One to three words an utterance, spoken alike in every cache."""
    patterns = np.random.default_rng(0).normal(0, 2, (len(WORDS), ENCODER_DIM))
    rng = np.random.default_rng((1, seed))
    with FeatureCacheWriter(folder, meta={}, dim=ENCODER_DIM) as writer:
        for number in range(num_utterances):
            chosen = rng.integers(0, len(WORDS), rng.integers(1, 4))
            frames = np.concatenate([np.repeat(patterns[[index]], 12, axis=0) for index in chosen])
            text = " ".join(WORDS[index] for index in chosen)
            writer.add(frames.astype(np.float16), id=f"u{number}", duration=len(frames) / 50, text=text, speaker="")
    return FeatureCache(folder)


def word_objective(stage: str) -> SpeechLLMObjective:
    """Untrained, without masks."""
    model = tiny_asr_model(SYSTEMS[stage], with_encoder=False)
    torch.manual_seed(0)
    model.projector = build_projector(model.config.projector, encoder_dim=ENCODER_DIM, llm_dim=16)
    model.projector.calibrate(model.table_VE)
    for name, parameter in model.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.zeros_(parameter)
    return SpeechLLMObjective(model, mask=MaskConfig(spans_per_second=0.0), ctc_weight=0.3)


def word_examples(cache: FeatureCache, objective: Objective) -> list[TrainingExample]:
    """All of a cache."""
    return [CachedExample(cache=cache, utterance=one, labels=objective.labels(one.text)) for one in cache]


def word_config(stage: str, **optim: float) -> TrainConfig:
    """Of a training with that system."""
    settings = {"learning_rate": 5e-3, "lora_learning_rate": 5e-3, "max_batch_duration": 6.0, **optim}
    return TrainConfig(
        objective=stage,  # type: ignore[arg-type]
        model=SYSTEMS[stage],
        optim=OptimConfig(**settings),  # type: ignore[arg-type]
        num_frequent_tokens=0,
        num_random_tokens=0,
    )


def saved_word_config(folder: Path, **optim: float) -> TrainConfig:
    """As `word_config` of `align`, with a language model in `folder`, so that checkpoints can be loaded again."""
    model = replace(SYSTEMS["align"], llm=LLMConfig(source=str(save_llm(folder / "llm"))), llm_dim=LLM_DIM)
    return replace(word_config("align", **optim), model=model)


def word_stream(examples: Sequence[TrainingExample], config: TrainConfig) -> StepStream:
    """Steps of a training."""
    return StepStream([Source(examples=examples)], max_step_frames=int(50 * config.optim.max_batch_duration), seed=0)


def train_words(
    objective: Objective, examples: Sequence[TrainingExample], stage: str, *, steps: int, **optim: float
) -> None:
    """The shortest loop there is, at the full rate."""
    config = word_config(stage, **optim)
    stream = word_stream(examples, config)
    optimizer = build_optimizer(objective, config.optim)
    set_learning_rate(optimizer, 1.0)
    objective.train()
    for index in range(steps):
        optimizer.zero_grad()
        for batch in stream.micro_batches(index):
            objective(batch, stream.step(index)).loss.backward()
        optimizer.step()
    objective.eval()
