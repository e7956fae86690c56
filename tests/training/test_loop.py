"""The training loop on tiny real modules: it learns, resumes exactly, and freezes what it must."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_audio.data.batch import Batch
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.stream import Step
from tiny_audio.errors import ConfigError, TrainingError
from tiny_audio.models.checkpoint import read_checkpoint
from tiny_audio.training.config import OptimConfig
from tiny_audio.training.objective import StepOutput
from tiny_audio.training.optimizer import cosine_schedule
from tiny_audio.training.run_directory import RunDirectory
from tiny_training import ALIGN, TOKENIZER, Recorder, build_objective, logged, run_config, run_on, write_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return write_cache(tmp_path_factory.mktemp("data") / "cache")


def test_align_learns_the_words_and_the_saved_checkpoint_holds_the_trained_part_only(
    tmp_path: Path, cache: FeatureCache
):
    objective = build_objective()
    run = run_on(cache, objective, run_config(160), tmp_path)
    assert logged(run)[-1] < 0.3 * logged(run)[0]
    saved, state = read_checkpoint(run.checkpoint)
    assert saved.projector == ALIGN.projector
    assert saved.vocab_size == len(TOKENIZER)
    assert {name.split(".")[0] for name in state} == {"projector"}
    for name, tensor in objective.model.projector.state_dict().items():
        assert torch.allclose(state[f"projector.{name}"].float(), tensor, atol=1e-2)


def test_correct_trains_projector_and_adapters_and_leaves_the_language_model_bit_equal(
    tmp_path: Path, cache: FeatureCache
):
    objective = build_objective("correct")
    frozen = {n: p.clone() for n, p in objective.model.speech_llm.llm.named_parameters() if not p.requires_grad}
    adapters = {n: p.clone() for n, p in objective.model.speech_llm.llm.named_parameters() if p.requires_grad}
    run = run_on(cache, objective, run_config(40, "correct"), tmp_path, validate=True)
    measured = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in measured if {"wer/words", "draft_wer/words"} <= line.keys()] == list(
        range(10, 41, 10)
    )
    assert (run.best / "model.safetensors").is_file()
    after = dict(objective.model.speech_llm.llm.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in frozen.items())
    assert any(not torch.equal(after[name], tensor) for name, tensor in adapters.items())
    assert objective.model.projector.residual.weight.any()
    assert logged(run)[-1] < logged(run)[0]


def test_another_configuration_is_refused_in_the_same_folder(tmp_path: Path, cache: FeatureCache):
    config = run_config(2)
    run_on(cache, build_objective(), config, tmp_path)
    with pytest.raises(ConfigError, match=r"another configuration \(seed\)"):
        RunDirectory(tmp_path, replace(config, seed=1))
    RunDirectory(tmp_path, replace(config, optim=replace(config.optim, max_micro_batch_duration=1.0)))


@pytest.mark.parametrize("stage", ["align", "correct"])
def test_micro_batches_change_nothing(tmp_path: Path, cache: FeatureCache, stage: str):
    """Masks, the sampled vocabulary and every mean of the loss included."""
    curves = []
    for micro_batch in (0.0, 1.5):
        recorder = Recorder()
        config = run_config(8, stage, optim={"max_micro_batch_duration": micro_batch})
        objective = build_objective(stage, dropout=False)
        run_on(cache, objective, config, tmp_path / str(micro_batch), observers=[recorder])
        curves.append(recorder.losses)
    whole, divided = curves
    assert divided == pytest.approx(whole, rel=1e-5)
    assert whole[-1] < whole[0]


def test_out_of_memory_halves_the_batch_and_changes_nothing_else(
    tmp_path: Path, cache: FeatureCache, caplog: pytest.LogCaptureFixture
):
    """The first time after a part of the gradient was there already."""
    recorders = [Recorder(), Recorder()]
    config = run_config(8)
    run_on(cache, build_objective(dropout=False), config, tmp_path / "large", observers=[recorders[0]])
    objective = build_objective(dropout=False)
    original, seen = objective.forward, []

    def forward(batch: Batch, step: Step) -> StepOutput:
        output = original(batch, step)
        seen.append(len(batch.ids))
        if len(batch.ids) > 2:
            output.loss.backward()
            raise torch.OutOfMemoryError("out of memory")
        return output

    objective.forward = forward
    run_on(cache, objective, config, tmp_path / "small", observers=[recorders[1]])
    assert recorders[1].losses == pytest.approx(recorders[0].losses, rel=1e-5)
    assert caplog.text.count("out of memory") == sum(rows > 2 for rows in seen) <= 3
    state = torch.load(tmp_path / "small" / "state.pt", weights_only=True)
    assert state["max_frames"] > 0


def test_an_utterance_that_does_not_fit_is_one_clear_error(tmp_path: Path, cache: FeatureCache):
    objective = build_objective()

    def forward(batch: Batch, step: Step) -> StepOutput:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    objective.forward = forward
    with pytest.raises(TrainingError, match=r"out of memory with the single utterance 'u\d+'"):
        run_on(cache, objective, run_config(3), tmp_path)


def test_a_loss_that_is_not_finite_names_the_utterance_and_saves_nothing(tmp_path: Path, cache: FeatureCache):
    objective = build_objective()
    original = objective.forward

    def forward(batch: Batch, step: Step) -> StepOutput:
        output = original(batch, step)
        return replace(output, loss=output.loss * (torch.nan if "u7" in batch.ids else 1.0))

    objective.forward = forward
    with pytest.raises(TrainingError, match=r"the loss of step \d+ is not finite for utterances u7;"):
        run_on(cache, objective, run_config(30, save_every=100), tmp_path)
    assert not (tmp_path / "state.pt").exists()
    assert all(parameter.isfinite().all() for parameter in objective.parameters())


def test_half_precision_skips_what_it_cannot_hold_and_counts_it(tmp_path: Path, cache: FeatureCache):
    objective, recorder = build_objective(dropout=False), Recorder()
    original, calls = objective.forward, 0

    def forward(batch: Batch, step: Step) -> StepOutput:
        nonlocal calls
        calls += 1
        output = original(batch, step)
        return replace(output, loss=output.loss * (1e30 if calls == 3 else 1.0))

    objective.forward = forward
    config = run_config(8, optim={"precision": "fp16"})
    run_on(cache, objective, config, tmp_path, observers=[recorder])
    skipped = {step for step, metrics in recorder.steps if "skipped_steps" in metrics}
    assert {3} <= skipped <= {1, 2, 3}  # the first scale may be too large
    assert recorder.steps[2][1]["skipped_steps"] == len(skipped)
    assert all(("grad_norm" in metrics) != (step in skipped) for step, metrics in recorder.steps)
    assert all(parameter.dtype == torch.float32 and parameter.isfinite().all() for parameter in objective.parameters())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_learns_too(tmp_path: Path, cache: FeatureCache, precision: str):
    recorder = Recorder()
    run_on(cache, build_objective(), run_config(40, optim={"precision": precision}), tmp_path, observers=[recorder])
    assert recorder.losses[-1] < 0.7 * recorder.losses[0]


def test_observers_are_told_of_every_step_and_once_of_the_end(tmp_path: Path, cache: FeatureCache):
    recorder = Recorder()
    run_on(cache, build_objective("correct"), run_config(12, "correct"), tmp_path, validate=True, observers=[recorder])
    assert recorder.context.max_steps == 12
    assert recorder.context.epoch_duration == pytest.approx(sum(item.duration for item in cache))
    assert [step for step, _ in recorder.steps] == list(range(1, 13))
    expected = {"loss", "ctc_loss", "llm_loss", "grad_norm", "grad_norm/projector", "grad_norm/llm", "learning_rate"}
    expected |= {"audio_duration", "step_time", "wait_time", "audio_seconds_per_second"}
    assert all(expected <= metrics.keys() for _, metrics in recorder.steps)
    assert [step for step, _ in recorder.validations] == [10, 12]
    assert recorder.ended == 1


def test_the_cosine_ends_at_the_floor():
    schedule = cosine_schedule(100, OptimConfig(warmup_steps=10, floor=0.1))
    assert [schedule(0), schedule(100), schedule(1000)] == pytest.approx([0.1, 0.1, 0.1], abs=1e-3)
    assert schedule(50) == pytest.approx(0.55)
    assert max(map(schedule, range(100))) < 1.0


def test_a_schedule_can_be_given(tmp_path: Path, cache: FeatureCache):
    recorder = Recorder()
    run_on(cache, build_objective(), run_config(3), tmp_path, observers=[recorder], schedule=lambda step: 10.0**step)
    assert [metrics["learning_rate"] for _, metrics in recorder.steps] == pytest.approx([5e-3, 5e-2, 5e-1])


def test_a_compiled_model_learns_the_same(tmp_path: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch):
    """Traced as for any backend; code is not generated, which takes half a minute."""
    compiled = []

    def trace(module: torch.nn.Module) -> None:
        compiled.append(module)
        module._compiled_call_impl = torch._dynamo.optimize("eager")(module._call_impl)

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    monkeypatch.setattr(torch, "compile", lambda function: function)
    curves = []
    for is_compiled in (False, True):
        recorder, objective = Recorder(), build_objective(dropout=False)
        run_on(cache, objective, run_config(2, compile=is_compiled), tmp_path / str(is_compiled), observers=[recorder])
        curves.append(recorder.losses)
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
    assert compiled == [objective.model.projector]


def test_without_a_compiler_compile_is_refused(tmp_path: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no working C++ compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(ConfigError, match="does not work here: no working C\\+\\+ compiler; set compile=false"):
        run_on(cache, build_objective(), run_config(1, compile=True), tmp_path)
