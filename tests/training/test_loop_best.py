"""Which weights a run keeps: the best, their mean, a moving average; and when it stops."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tiny_audio.data.batch import Batch
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.errors import ConfigError
from tiny_audio.training.averaging import WeightAverage
from tiny_audio.training.best import BestCheckpoints
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_training import Recorder, build_objective, run_config, run_on, write_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return write_cache(tmp_path_factory.mktemp("data") / "cache")


def with_error_rates(rates: Sequence[float]) -> SpeechLLMObjective:
    """An objective that gets these error rates, one validation after the other, and the last one from then on."""
    objective, left = build_objective(), list(rates)

    def transcribe(batch: Batch) -> list[Any]:
        rate = left.pop(0) if len(left) > 1 else left[0]
        words = sum(len(text.split()) for text in batch.references)
        extra = " wrong" * round(rate * words)  # so many insertions
        texts = [text + (extra if row == 0 else "") for row, text in enumerate(batch.references)]
        return [SimpleNamespace(text=text, draft=text) for text in texts]

    objective.transcribe = transcribe  # type: ignore[method-assign, assignment]
    return objective


def scores(run: Path) -> dict[str, int]:
    """Folder -> the step that it was saved at."""
    return {path.parent.name: json.loads(path.read_text())["step"] for path in run.glob("best-*/validation.json")}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}


def test_the_best_are_kept_in_order_and_their_mean_is_tried(tmp_path: Path, cache: FeatureCache):
    objective, recorder = with_error_rates([0.5, 0.3, 0.4, 0.2, 0.6, 0.0]), Recorder()  # the last is the mean's
    config = run_config(10, validate_every=2, keep_best=3)
    run = run_on(cache, objective, config, tmp_path, validate=True, observers=[recorder])
    assert scores(run.path) == {"best-1": 8, "best-2": 4, "best-3": 6}
    kept = [weights(run.path / f"best-{rank}") for rank in (1, 2, 3)]
    for name, tensor in weights(run.average).items():
        assert torch.allclose(tensor, torch.stack([state[name] for state in kept]).mean(dim=0), atol=2e-3)
    assert all(torch.equal(tensor, weights(run.average)[name]) for name, tensor in weights(run.best).items())
    assert recorder.validations[-1][1].keys() == {"average_wer/words"}
    newest = weights(run.checkpoint)  # of the last step, not of the mean
    assert any(not torch.allclose(tensor, weights(run.average)[name], atol=1e-3) for name, tensor in newest.items())
    for name, parameter in objective.model.projector.named_parameters():
        assert torch.allclose(newest[f"projector.{name}"], parameter, atol=1e-2)


def test_a_mean_that_is_no_better_is_not_named_best(tmp_path: Path, cache: FeatureCache):
    run = run_on(
        cache, with_error_rates([0.5, 0.3, 0.9]), run_config(4, validate_every=2, keep_best=2), tmp_path, validate=True
    )
    assert scores(run.path) == {"best-1": 4, "best-2": 2}
    assert run.average.is_dir()
    assert all(torch.equal(tensor, weights(run.best)[name]) for name, tensor in weights(run.path / "best-1").items())


def test_one_best_needs_one_folder(tmp_path: Path, cache: FeatureCache):
    run = run_on(cache, with_error_rates([0.5, 0.3]), run_config(4, validate_every=2), tmp_path, validate=True)
    assert {path.name for path in run.path.iterdir() if path.is_dir()} == {"best", "checkpoint"}


def test_training_ends_when_it_does_not_get_better_and_stays_ended(tmp_path: Path, cache: FeatureCache):
    config = run_config(100, validate_every=2, patience=2)
    recorder = Recorder()
    run = run_on(cache, with_error_rates([0.5, 0.3, 0.4, 0.3]), config, tmp_path, validate=True, observers=[recorder])
    assert [step for step, _ in recorder.validations] == [2, 4, 6, 8]
    assert recorder.steps[-1][0] == 8
    again = Recorder()
    run_on(cache, with_error_rates([0.0]), config, run.path, validate=True, observers=[again])
    assert again.steps == again.validations == []


def test_best_folders_survive_a_crash_in_between(tmp_path: Path):
    def save(folder: Path) -> None:
        folder.mkdir()
        (folder / "weights").write_text(str(len(list(tmp_path.iterdir()))))

    best = BestCheckpoints(tmp_path, keep=2)
    for step, wer in ((1, 0.5), (2, 0.4)):
        best.add(step, wer, save)
    (tmp_path / "best-2").rename(tmp_path / ".best-moving-best-2")  # a crash between two renames
    (tmp_path / ".best-incoming").mkdir()  # and one while the weights were written
    best = BestCheckpoints(tmp_path, keep=2)
    best.add(2, 0.4, save)  # the same step again, as a resumed run has it
    best.add(3, 0.45, save)
    assert scores(tmp_path) == {"best-1": 2, "best-2": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-1", "best-2"]


def test_the_moving_average_is_what_is_validated_and_saved(tmp_path: Path, cache: FeatureCache):
    objective = build_objective()
    seen = []
    original = objective.transcribe

    def transcribe(batch: Batch) -> Any:
        seen.append(objective.model.projector.state_dict()["residual.weight"].clone())
        return original(batch)

    objective.transcribe = transcribe  # type: ignore[method-assign]
    run = run_on(cache, objective, run_config(6, optim={"ema_decay": 0.9}), tmp_path, validate=True)
    state = torch.load(run.path / "state.pt", weights_only=True)
    names = [name for name, parameter in objective.named_parameters() if parameter.requires_grad]
    averages = dict(zip(names, state["average"]["averages"], strict=True))
    saved = weights(run.checkpoint)
    for name, average in averages.items():
        assert torch.allclose(saved[name.removeprefix("model.")], average, atol=1e-2)
        assert torch.equal(dict(objective.named_parameters())[name], state["model"][name.removeprefix("model.")])
    assert any(not torch.allclose(average, objective.get_parameter(name)) for name, average in averages.items())
    assert torch.equal(seen[-1], averages["model.projector.residual.weight"])


def test_the_moving_average_follows_its_definition():
    parameter = nn.Parameter(torch.zeros(3))
    average = WeightAverage([parameter], decay=0.5)
    expected = torch.zeros(3)
    for update in range(1, 20):
        with torch.no_grad():
            parameter.add_(torch.tensor([1.0, -2.0, update]))
        average.update()
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * parameter.detach()
    own = parameter.detach().clone()
    with average.in_use():
        assert torch.allclose(parameter, expected)
    assert torch.equal(parameter, own)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep_best": 0}, "keep_best is 0"),
        ({"optim": {"ema_decay": 1.0}}, "optim.ema_decay is 1.0"),
        ({"optim": {"precision": "int4"}}, "optim.precision is 'int4'; expected one of"),
        ({"distributed": "fsdp"}, "which is for model.llm.training=full"),
        ({"stage": "full", "distributed": "fsdp", "keep_best": 2}, "keep_best=1"),
        ({"stage": "full", "distributed": "fsdp", "optim": {"precision": "fp16"}}, "bf16 or fp32"),
        ({"stage": "full", "distributed": "fsdp", "compile": True}, "compile=false"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        run_config(1, **fields)
