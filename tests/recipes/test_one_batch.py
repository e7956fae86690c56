"""Each recipe in miniature learns one batch by heart, stage by stage, and then writes it down itself."""

from pathlib import Path

import pytest
import torch

from miniatures import miniature, miniature_ctc, noise
from tiny_audio.data.stream import Batch, Step
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.modules import count_parameters
from tiny_audio.recipes import RECIPES, build_recipe
from tiny_audio.training.config import MaskConfig, OptimConfig, TrainConfig
from tiny_audio.training.ctc_objective import CTCObjective
from tiny_audio.training.distill_objective import DistillObjective
from tiny_audio.training.loop import build_optimizer, count_trainable
from tiny_audio.training.objective import Objective
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective

TEXTS = ["one two three", "four five"]
WAVEFORMS = (noise(16_000, 0), noise(24_000, 1))
NO_MASK = MaskConfig(spans_per_second=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("language-models")


def objective_of(stage: TrainConfig, folder: Path) -> Objective:
    torch.manual_seed(0)
    if not isinstance(stage.model, ASRConfig):
        return CTCObjective(miniature_ctc(stage.model, TEXTS))
    config = miniature(stage.model, folder)
    objective = (
        DistillObjective(ASRModel(config), mask=NO_MASK, config=stage.distill)
        if stage.objective == "distill"
        else SpeechLLMObjective(ASRModel(config), mask=NO_MASK, ctc_weight=stage.ctc_weight)
    )
    counts = count_parameters(config)
    expected = ["encoder", "projector"] if config.draft_only else counts
    assert count_trainable(objective) == sum(counts[part].trainable for part in expected)
    return objective


@pytest.mark.parametrize("name", RECIPES)
def test_one_batch_is_learnt_by_heart(name: str, folder: Path):
    learnt: dict[str, torch.Tensor] = {}
    for stage in build_recipe(name).stages.values():
        if stage.objective in ("describe", "characters"):  # beside a checkpoint; they have tests of their own
            continue
        objective = objective_of(stage, folder)
        objective.load_trained_state({**objective.trained_state(), **learnt})
        batch = Batch(
            features_BTD=torch.empty(0),
            lengths_B=torch.empty(0),
            labels=[list(objective.labels(text)) for text in TEXTS],
            references=TEXTS,
            ids=["a", "b"],
            duration=2.5,
            waveforms=WAVEFORMS,
        )
        step = Step(index=0, epoch=0, seed=0, ids=("a", "b"), labels=tuple(map(tuple, batch.labels)), duration=2.5)
        optimizer = build_optimizer(objective, OptimConfig(learning_rate=3e-3, lora_learning_rate=3e-3))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"]
        objective.train()
        for _ in range(300):
            loss = objective(batch, step).loss
            if loss.item() < 0.1:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.1
        if stage.objective != "distill":  # whose teacher, a random model, would not write the text either
            assert [hypothesis.text for hypothesis in objective.eval().transcribe(batch)] == TEXTS
        learnt = {key: tensor.clone() for key, tensor in objective.trained_state().items()}
