"""The training loop on tiny real modules: it learns, resumes exactly, and freezes what it must."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_audio.data.feature_cache import FeatureCache, FeatureCacheWriter
from tiny_audio.data.stream import CachedExample, TrainingExample, collate
from tiny_audio.errors import ConfigError
from tiny_audio.models.asr_config import EncoderConfig, LLMConfig, LoRAConfig, ProjectorConfig
from tiny_audio.models.checkpoint import read_checkpoint
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.text.prompts import encode_transcript
from tiny_audio.training.config import MaskConfig, OptimConfig, TrainConfig
from tiny_audio.training.examples import training_examples
from tiny_audio.training.loop import run_loop
from tiny_audio.training.run_directory import RunDirectory
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_models import TINY_CONFIG, WORDS, tiny_asr_model, word_tokenizer

TOKENIZER = word_tokenizer()
CONFIG = replace(
    TINY_CONFIG,
    encoder=EncoderConfig(source=None),
    encoder_dim=8,
    projector=ProjectorConfig(hidden_dim=32, num_blocks=1, dropout=0.1),
    llm=LLMConfig(source="smollm2-135m-instruct"),
    draft_only=True,
)
ADAPTED = LLMConfig(source="smollm2-135m-instruct", training="lora", lora=LoRAConfig(rank=4, alpha=8.0))
STAGES = {
    "align": CONFIG,
    "correct": replace(CONFIG, draft_only=False, llm=ADAPTED),
    "speech_llm": replace(
        CONFIG, draft_only=False, llm=ADAPTED, projector=replace(CONFIG.projector, kind="mlp", aligned=False)
    ),
}


def build_objective(stage: str = "align") -> SpeechLLMObjective:
    model = tiny_asr_model(STAGES[stage], with_encoder=False)
    model.projector = build_projector(model.config.projector, encoder_dim=8, llm_dim=16)  # with its own start
    model.projector.calibrate(model.table_VE)
    for name, parameter in model.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.zeros_(parameter)
    return SpeechLLMObjective(model, mask=MaskConfig(), ctc_weight=0.3)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    """Each word is 12 frames of its own pattern, so it can be learnt."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 2, (len(WORDS), 8))
    with FeatureCacheWriter(tmp_path / "cache", meta={}, dim=8) as writer:
        for number in range(24):
            chosen = rng.integers(0, len(WORDS), rng.integers(1, 4))
            frames = np.concatenate([np.repeat(patterns[[index]], 12, axis=0) for index in chosen])
            text = " ".join(WORDS[index] for index in chosen)
            writer.add(frames.astype(np.float16), id=f"u{number}", duration=len(frames) / 50, text=text, speaker="")
    return FeatureCache(tmp_path / "cache")


def examples_of(cache: FeatureCache) -> list[TrainingExample]:
    return [
        CachedExample(cache=cache, utterance=item, labels=tuple(encode_transcript(TOKENIZER, item.text)))
        for item in cache
    ]


def stage_config(max_steps: int, stage: str = "align") -> TrainConfig:
    return TrainConfig(
        objective=stage,
        model=STAGES[stage],
        optim=OptimConfig(learning_rate=5e-3, warmup_steps=5, max_steps=max_steps, max_batch_duration=6.0),
        mask=MaskConfig(spans_per_second=0.3, max_span_frames=4),
        num_frequent_tokens=3,
        num_random_tokens=50,
        save_every=10,
        validate_every=10,
    )


def losses(run: RunDirectory) -> list[float]:
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_align_learns_the_words_and_the_saved_checkpoint_holds_the_trained_part_only(
    tmp_path: Path, cache: FeatureCache
):
    config = stage_config(160)
    run = RunDirectory(tmp_path / "run", config)
    objective = build_objective()
    run_loop(objective, examples_of(cache), {}, config, run)
    assert losses(run)[-1] < 0.3 * losses(run)[0]
    saved, state = read_checkpoint(run.checkpoint)
    assert saved.projector == CONFIG.projector
    assert saved.vocab_size == len(TOKENIZER)
    assert {name.split(".")[0] for name in state} == {"projector"}
    for name, tensor in objective.model.projector.state_dict().items():
        assert torch.allclose(state[f"projector.{name}"].float(), tensor, atol=1e-2)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, cache: FeatureCache):
    config = stage_config(20)
    straight = RunDirectory(tmp_path / "straight", config)
    whole = build_objective()
    run_loop(whole, examples_of(cache), {}, config, straight)

    broken = RunDirectory(tmp_path / "broken", config)

    first = build_objective()
    original = first.forward
    calls = 0

    def forward(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 15:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    first.forward = forward
    with pytest.raises(KeyboardInterrupt):
        run_loop(first, examples_of(cache), {}, config, broken)
    second = build_objective()
    run_loop(second, examples_of(cache), {}, config, RunDirectory(tmp_path / "broken", config))
    for left, right in zip(whole.model.projector.parameters(), second.model.projector.parameters(), strict=True):
        assert torch.equal(left, right)
    assert losses(straight) == losses(broken)


def test_correct_trains_projector_and_adapters_and_leaves_the_language_model_bit_equal(
    tmp_path: Path, cache: FeatureCache
):
    objective = build_objective("correct")
    frozen = {n: p.clone() for n, p in objective.model.speech_llm.llm.named_parameters() if not p.requires_grad}
    adapters = {n: p.clone() for n, p in objective.model.speech_llm.llm.named_parameters() if p.requires_grad}
    config = stage_config(60, "correct")
    run = RunDirectory(tmp_path / "run", config)
    run_loop(objective, examples_of(cache), {"words": [collate(examples_of(cache)[:6])]}, config, run)
    measured = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in measured if {"wer/words", "draft_wer/words"} <= line.keys()] == list(
        range(10, 61, 10)
    )
    assert (run.best / "model.safetensors").is_file()
    after = dict(objective.model.speech_llm.llm.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in frozen.items())
    assert any(not torch.equal(after[name], tensor) for name, tensor in adapters.items())
    assert objective.model.projector.residual.weight.any()
    assert losses(run)[-1] < losses(run)[0]


def test_infeasible_utterances_are_counted_and_left_out(tmp_path: Path):
    with FeatureCacheWriter(tmp_path / "cache", meta={}, dim=8) as writer:
        frames = np.ones((8, 8), dtype=np.float16)  # two audio tokens
        writer.add(frames, id="fits", duration=0.16, text="one two", speaker="")
        writer.add(frames, id="too-long", duration=0.16, text="one two three", speaker="")
        writer.add(frames, id="repeats", duration=0.16, text="one one", speaker="")
    examples, infeasible = training_examples([f"{tmp_path / 'cache'}*2"], tmp_path, build_objective())
    assert [example.utterance.id for example in examples] == ["fits", "fits"]
    assert [(item.id, item.ctc_frames, item.needed) for item in infeasible] == [("too-long", 2, 3), ("repeats", 2, 3)]


def test_another_configuration_is_refused_in_the_same_folder(tmp_path: Path, cache: FeatureCache):
    config = stage_config(2)
    run_loop(build_objective(), examples_of(cache), {}, config, RunDirectory(tmp_path / "run", config))
    with pytest.raises(ConfigError, match=r"another configuration \(seed\)"):
        RunDirectory(tmp_path / "run", replace(config, seed=1))
