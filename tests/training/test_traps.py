"""Mistakes that training code of others is known for, one test each. Numbers 38 and 49 are in `test_distributed`."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tiny_audio.data.batch import collate
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.stream import Step
from tiny_audio.models.lora import LoRALinear
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.training.run_directory import RunDirectory
from tiny_audio.training.step_computer import StepComputer
from tiny_training import TOKENIZER, Recorder, build_objective, examples_of, run_config, run_on, write_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return write_cache(tmp_path_factory.mktemp("data") / "cache")


def step_of(cache: FeatureCache, count: int = 8) -> tuple[Step, list]:
    examples = examples_of(cache)[:count]
    step = Step(
        index=0,
        epoch=0,
        seed=0,
        ids=tuple(example.utterance.id for example in examples),
        labels=tuple(example.labels for example in examples),
        duration=sum(example.utterance.duration for example in examples),
    )
    return step, examples


def speech_llm_of(stage: str = "speech_llm") -> SpeechLLM:
    speech_llm = build_objective(stage).model.speech_llm
    assert speech_llm is not None
    return speech_llm


def test_trap_22_the_end_of_the_turn_is_learnt_though_padding_is_the_same_token():
    speech_llm = speech_llm_of()
    answers = [[3, 4, 5], [6]]  # of unequal length, so that the second row is padded
    audio = [torch.randn(length, 16) for length in (2, 7)]
    _, labels_N = speech_llm.answer_logits(audio, answers)
    assert labels_N.tolist() == [3, 4, 5, speech_llm.end_id, 6, speech_llm.end_id]


def test_trap_25_updates_too_small_for_bfloat16_are_not_lost(tmp_path: Path, cache: FeatureCache):
    objective = build_objective("correct")
    before = {name: tensor.clone() for name, tensor in objective.named_parameters() if tensor.requires_grad}
    optim = {"precision": "bf16", "learning_rate": 1e-6, "lora_learning_rate": 1e-6, "warmup_steps": 0}
    run_on(cache, objective, run_config(1, "correct", optim=optim), tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    moments = [value for one in state["optimizer"]["state"].values() for value in one.values() if value.ndim]
    assert {tensor.dtype for tensor in [*moments, *state["model"].values()]} == {torch.float32}
    large = {name: tensor for name, tensor in before.items() if (tensor.abs() > 0.5).all()}
    assert large, "the scales of the norms start at 1, where bfloat16 has steps of 0.008"
    for name, tensor in large.items():
        after = objective.get_parameter(name)
        assert not torch.equal(after, tensor)
        assert torch.equal(after.bfloat16(), tensor.bfloat16())


def test_trap_36_a_run_is_named_by_its_folder_alone(tmp_path: Path):
    """Not by the clock, which differs between processes and goes back once a year; and only one process writes."""
    config = run_config(2)
    folder = tmp_path / "run"
    other = RunDirectory(folder, config, is_main=False)
    other.log(1, {"loss": 1.0})
    other.save_state({"step": 1})
    assert other.load_state() is None
    assert not folder.exists()
    first = RunDirectory(folder, config)
    first.log(1, {"loss": 1.0})
    assert first.path == other.path
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "run",
    ]


def test_trap_47_frozen_modules_stay_in_eval(cache: FeatureCache):
    """Dropout of a frozen language model is off in training, that of the adapters within it and the projector is on."""
    objective = build_objective("correct")
    llm = objective.model.decoder
    llm.config.attention_dropout = 0.9
    for layer in llm.get_decoder().layers:
        layer.self_attn.attention_dropout = 0.9
    step, examples = step_of(cache)
    batch = collate(examples)

    def losses() -> set[float]:
        found = set()
        for seed in range(3):
            torch.manual_seed(seed)
            found.add(objective(batch, step).loss.item())
        return found

    objective.eval()
    assert len(losses()) == 1
    objective.train()
    assert not llm.training
    assert not any(layer.self_attn.training for layer in llm.get_decoder().layers)
    adapters = [module for module in objective.modules() if isinstance(module, LoRALinear)]
    assert adapters
    assert all(adapter.training and adapter.dropout.training for adapter in adapters)
    assert objective.model.projector.training
    assert len(losses()) > 1  # of the projector
    for module in objective.model.projector.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert len(losses()) == 1
    assert build_objective("full").train().model.decoder.training


def test_trap_48_only_the_transcript_is_predicted(cache: FeatureCache):
    """Neither the prompt nor the audio: the labels, decoded, are what was said and the end of the turn."""
    speech_llm = speech_llm_of()
    _, examples = step_of(cache)
    audio = [torch.randn(3 + row, 16) for row in range(len(examples))]
    logits_NV, labels_N = speech_llm.answer_logits(audio, [example.labels for example in examples])
    assert logits_NV.shape[0] == sum(len(example.labels) + 1 for example in examples)
    said = "<|im_end|>".join(TOKENIZER.decode(example.labels) for example in examples)
    assert TOKENIZER.decode(labels_N) == said + "<|im_end|>"


@pytest.mark.parametrize("stage", ["align", "correct", "speech_llm"])
def test_trap_50_the_loss_is_a_mean_over_tokens_however_the_batch_is_divided(stage: str, cache: FeatureCache):
    objective = build_objective(stage, dropout=False).train()
    step, examples = step_of(cache)
    objective.prepare(step.labels, run_config(1, stage))
    examples.sort(key=lambda example: example.num_frames)  # micro-batches of very unequal lengths
    gradients, losses = [], []
    for sizes in ([8], [1, 5, 2], [1] * 8):
        objective.zero_grad()
        bounds = [sum(sizes[:index]) for index in range(len(sizes) + 1)]
        total = 0.0
        for start, end in pairwise(bounds):
            output = objective(collate(examples[start:end]), step)
            output.loss.backward()
            total += output.metrics["loss"]
        losses.append(total)
        gradients.append(torch.cat([one.grad.flatten() for one in objective.parameters() if one.grad is not None]))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    for gradient in gradients:
        assert torch.allclose(gradient, gradients[0], rtol=1e-3, atol=1e-5)


def test_trap_52_a_resumed_run_neither_repeats_data_nor_restarts_the_schedule(
    tmp_path: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
):
    seen: list[list[str]] = []
    compute = StepComputer.compute

    def remember(computer: StepComputer, step: Step, *batches: object) -> object:
        seen.append(sorted(step.ids))
        return compute(computer, step, *batches)  # type: ignore[arg-type]

    class Failing(Recorder):
        def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
            super().on_step(step, metrics)
            if step == 6:
                raise RuntimeError("power failure")

    monkeypatch.setattr(StepComputer, "compute", remember)
    config = run_config(10, save_every=4)
    straight = Recorder()
    run_on(cache, build_objective(), config, tmp_path / "straight", observers=[straight])
    whole, seen[:] = seen[:], []
    first, second = Failing(), Recorder()
    with pytest.raises(RuntimeError, match="power failure"):
        run_on(cache, build_objective(), config, tmp_path / "broken", observers=[first])
    del seen[4:]  # the two steps behind the last save are gone
    run_on(cache, build_objective(), config, tmp_path / "broken", observers=[second])
    assert seen == whole
    rates = [metrics["learning_rate"] for _, metrics in [*first.steps[:4], *second.steps]]
    assert rates == [metrics["learning_rate"] for _, metrics in straight.steps]
