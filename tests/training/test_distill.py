"""Distillation from the language model that reads the transcript: exact at the teacher, and only the rest learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tiny_audio.data.stream import Batch, Step
from tiny_audio.errors import ConfigError
from tiny_audio.models.asr_config import ASRConfig, LLMConfig, LoRAConfig
from tiny_audio.text.prompts import encode_transcript
from tiny_audio.training.config import DistillConfig, MaskConfig, TrainConfig
from tiny_audio.training.distill_objective import DistillObjective, distillation_loss
from tiny_models import TINY_CONFIG, WORDS, tiny_asr_model, word_tokenizer

NO_MASK = MaskConfig(spans_per_second=0.0)
CONFIG = replace(
    TINY_CONFIG,
    encoder_dim=8,
    projector=replace(TINY_CONFIG.projector, kind="mlp", aligned=False, stack_factor=4, dropout=0.0),
)
FROZEN = replace(CONFIG, llm=LLMConfig(source=None))
TEXTS = ["one two", "three", "five four one"]


def objective(config: ASRConfig = FROZEN, **values: float) -> DistillObjective:
    model = tiny_asr_model(config, with_encoder=False)
    return DistillObjective(model, mask=NO_MASK, config=DistillConfig(**values))


def batch_of(texts: list[str]) -> tuple[Batch, Step]:
    """Each word is eight frames of its own pattern."""
    patterns = np.random.default_rng(0).normal(0, 2, (len(WORDS), 8))
    rows = [np.concatenate([np.repeat(patterns[[WORDS.index(w)]], 8, axis=0) for w in text.split()]) for text in texts]
    features = torch.zeros(len(rows), max(map(len, rows)), 8)
    for row, frames in zip(features, rows, strict=True):
        row[: len(frames)] = torch.from_numpy(frames)
    labels = [encode_transcript(word_tokenizer(), text) for text in texts]
    ids = [str(index) for index in range(len(texts))]
    batch = Batch(
        features_BTD=features,
        lengths_B=torch.tensor([len(row) for row in rows]),
        labels=labels,
        references=texts,
        ids=ids,
        duration=3.0,
    )
    return batch, Step(
        index=0, epoch=0, seed=0, ids=tuple(ids), labels=tuple(tuple(row) for row in labels), duration=3.0
    )


def test_a_projector_that_writes_the_transcript_has_no_loss_at_any_temperature(monkeypatch: pytest.MonkeyPatch):
    batch, step = batch_of(TEXTS)
    for temperature in (1.0, 2.0, 5.0):
        found = objective(temperature=temperature)
        perfect = [found.model.table_VE[torch.tensor(row)] for row in batch.labels]
        assert found(batch, step).loss > 0.1
        monkeypatch.setattr(found.model, "audio_embeddings", lambda *_, perfect=perfect: perfect)
        assert found(batch, step).loss.item() == pytest.approx(0.0, abs=1e-5)


def test_the_divergence_is_that_of_its_definition():
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 7), torch.randn(3, 7)
    p, q = (teacher / 2).softmax(dim=1), (student / 2).softmax(dim=1)
    expected = 4 * (p * (p / q).log()).sum()
    assert distillation_loss(student, teacher, 2.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_teacher_is_the_plain_language_model_whatever_the_adapters_say():
    batch, step = batch_of(TEXTS)
    adapted, plain = objective(CONFIG), objective(FROZEN)
    plain.model.projector.load_state_dict(adapted.model.projector.state_dict())
    assert adapted(batch, step).metrics["kl_loss"] != plain(batch, step).metrics["kl_loss"]
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if name.endswith((".up", ".down")):
                parameter.zero_()
    assert adapted(batch, step).metrics["kl_loss"] == pytest.approx(plain(batch, step).metrics["kl_loss"], rel=1e-5)


def test_cross_entropy_can_be_mixed_in():
    batch, step = batch_of(TEXTS)
    mixed = objective(cross_entropy_weight=0.25)(batch, step)
    expected = 0.75 * mixed.metrics["kl_loss"] + 0.25 * mixed.metrics["llm_loss"]
    assert mixed.loss.item() == pytest.approx(expected, rel=1e-5)
    found = objective()
    embeds = found.model.audio_embeddings(
        found.model.projector(batch.features_BTD, batch.lengths_B),
        found.model.projector.output_lengths(batch.lengths_B),
        found.model.table_VE,
    )
    logits, labels = found.model.speech_llm.answer_logits(embeds, batch.labels)
    assert mixed.metrics["llm_loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


def test_shares_of_a_step_add_up():
    batch, step = batch_of(TEXTS)
    found = objective(cross_entropy_weight=0.5)
    whole = found(batch, step)
    parts = [found(part, step) for part in batch.halves()]
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item(), rel=1e-5)
    for name in ("kl_loss", "llm_loss"):
        assert sum(part.metrics[name] for part in parts) == pytest.approx(whole.metrics[name], rel=1e-5)


@pytest.mark.parametrize("config", [FROZEN, CONFIG], ids=["frozen", "lora"])
def test_it_learns_and_changes_the_projector_and_the_adapters_alone(config: ASRConfig):
    batch, step = batch_of(TEXTS)
    found = objective(config).train()
    before = {name: parameter.clone() for name, parameter in found.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in found.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        output = found(batch, step)
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert losses[-1] < 0.3 * losses[0]
    for name, parameter in found.named_parameters():
        is_trained = ".projector." in name or name.endswith((".up", ".down"))
        assert parameter.requires_grad == is_trained
        assert torch.equal(parameter, before[name]) != is_trained, name


def test_a_teacher_that_changes_and_an_aligned_projector_are_refused():
    full = replace(FROZEN, llm=LLMConfig(source=None, training="full"))
    with pytest.raises(ConfigError, match=r"needs model\.llm\.training=frozen or lora"):
        TrainConfig(objective="distill", model=full)
    with pytest.raises(ConfigError, match=r"needs model\.projector\.aligned=false"):
        TrainConfig(objective="distill", model=replace(FROZEN, projector=TINY_CONFIG.projector))
    with pytest.raises(ConfigError, match="expected a temperature above 0"):
        TrainConfig(objective="distill", model=FROZEN, distill=DistillConfig(temperature=0.0))
    TrainConfig(objective="distill", model=replace(FROZEN, llm=LLMConfig(training="lora", lora=LoRAConfig())))
