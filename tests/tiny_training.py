"""Training in miniature: words that are patterns of frames, small systems that learn them, and runs on both."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tiny_audio.data.batch import CachedExample, TrainingExample, collate
from tiny_audio.data.feature_cache import FeatureCache, FeatureCacheWriter
from tiny_audio.data.stream import Source
from tiny_audio.models.asr_config import EncoderConfig, LLMConfig, LoRAConfig, ProjectorConfig
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.text.prompts import encode_transcript
from tiny_audio.training.build import build_stream
from tiny_audio.training.config import MaskConfig, OptimConfig, TrainConfig
from tiny_audio.training.loop import run_loop
from tiny_audio.training.objective import Objective
from tiny_audio.training.observer import Observer, RunContext
from tiny_audio.training.processes import Processes
from tiny_audio.training.run_directory import RunDirectory
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_models import TINY_CONFIG, WORDS, tiny_asr_model, word_tokenizer

TOKENIZER = word_tokenizer()
ALIGN = replace(
    TINY_CONFIG,
    encoder=EncoderConfig(source=None),
    encoder_dim=8,
    projector=ProjectorConfig(hidden_dim=32, num_blocks=1, dropout=0.1),
    llm=LLMConfig(source="smollm2-135m-instruct"),
    draft_only=True,
)
LORA = LLMConfig(source="smollm2-135m-instruct", training="lora", lora=LoRAConfig(rank=4, alpha=8.0))
PLAIN = replace(ALIGN.projector, kind="mlp", aligned=False, dropout=0.0)
STAGES = {
    "align": ALIGN,
    "correct": replace(ALIGN, draft_only=False, llm=LORA),
    "speech_llm": replace(ALIGN, draft_only=False, llm=LORA, projector=PLAIN),
    "full": replace(ALIGN, draft_only=False, llm=replace(LORA, training="full", lora=None), projector=PLAIN),
}
"""Systems by the stage that trains them; `full` is `speech_llm` with a language model trained as a whole."""


def build_objective(stage: str = "align", *, dropout: bool = True) -> SpeechLLMObjective:
    """New weights, the same each time."""
    config = STAGES[stage]
    if not dropout:
        config = replace(config, projector=replace(config.projector, dropout=0.0))
    model = tiny_asr_model(config, with_encoder=False)
    model.projector = build_projector(model.config.projector, encoder_dim=8, llm_dim=16)  # with its own start
    model.projector.calibrate(model.table_VE)
    if stage == "full":
        model.decoder.requires_grad_(True)
    for name, parameter in model.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.zeros_(parameter)
    return SpeechLLMObjective(model, mask=MaskConfig(), ctc_weight=0.3)


def write_cache(folder: Path, count: int = 24) -> FeatureCache:
    """Each word is 12 frames of its own pattern, so it can be learnt; utterances have one to three."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 2, (len(WORDS), 8))
    with FeatureCacheWriter(folder, meta={}, dim=8) as writer:
        for number in range(count):
            chosen = rng.integers(0, len(WORDS), rng.integers(1, 4))
            frames = np.concatenate([np.repeat(patterns[[index]], 12, axis=0) for index in chosen])
            text = " ".join(WORDS[index] for index in chosen)
            writer.add(frames.astype(np.float16), id=f"u{number}", duration=len(frames) / 50, text=text, speaker="")
    return FeatureCache(folder)


def examples_of(cache: FeatureCache) -> list[TrainingExample]:
    """With their labels."""
    return [
        CachedExample(cache=cache, utterance=item, labels=tuple(encode_transcript(TOKENIZER, item.text)))
        for item in cache
    ]


def run_config(
    max_steps: int, stage: str = "align", *, optim: dict[str, Any] | None = None, **fields: Any
) -> TrainConfig:
    """A short run; `optim` and `fields` replace defaults."""
    settings = {"learning_rate": 5e-3, "warmup_steps": 5, "max_batch_duration": 6.0, "precision": "fp32"}
    return TrainConfig(
        objective="speech_llm" if stage == "full" else stage,  # type: ignore[arg-type]
        model=STAGES[stage],
        optim=OptimConfig(max_steps=max_steps, **settings | (optim or {})),
        mask=MaskConfig(spans_per_second=0.3, max_span_frames=4),
        num_frequent_tokens=3,
        num_random_tokens=50,
        **{"save_every": 10, "validate_every": 10} | fields,
    )


def run_on(
    cache: FeatureCache,
    objective: Objective,
    config: TrainConfig,
    folder: Path,
    *,
    validate: bool = False,
    **options: Any,
) -> RunDirectory:
    """Train, or continue, in this process or with others that call this too."""
    examples = examples_of(cache)
    stream = build_stream(config, [Source(examples=examples)], objective)
    run = RunDirectory(folder, config, is_main=Processes().is_main)
    run_loop(objective, stream, {"words": [collate(examples[:6])]} if validate else {}, config, run, **options)
    return run


def logged(run: RunDirectory | Path, name: str = "loss") -> list[float]:
    """A metric as it was logged."""
    folder = run if isinstance(run, Path) else run.path
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


class Recorder(Observer):
    """An observer that keeps all it is told."""

    def __init__(self) -> None:
        self.context: RunContext | None = None
        self.steps: list[tuple[int, dict[str, float]]] = []
        self.validations: list[tuple[int, dict[str, float]]] = []
        self.ended = 0

    def on_start(self, context: RunContext) -> None:
        self.context = context

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps.append((step, dict(metrics)))

    def on_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        self.validations.append((step, dict(metrics)))

    def on_end(self) -> None:
        self.ended += 1

    @property
    def losses(self) -> list[float]:
        return [metrics["loss"] for _, metrics in self.steps]
