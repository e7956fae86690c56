"""An encoder whose last blocks are adapted, trained on what its first ones have stored: as if nothing were stored."""

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from miniatures import ENCODERS, miniature, noise, save_encoder, train_adapters
from tiny_audio.data.batch import Batch
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.stream import Source, Step
from tiny_audio.errors import ConfigError
from tiny_audio.models.asr_config import EncoderConfig, LoRAConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import save_checkpoint, trained_state
from tiny_audio.models.encoders.build import build_encoder, build_frozen_part, stored_meta
from tiny_audio.recipes import build_recipe
from tiny_audio.training.build import build_objective
from tiny_audio.training.config import DataConfig, MaskConfig
from tiny_audio.training.examples import training_sources
from tiny_audio.training.feature_extraction import cache_features
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_models import TINY_CONFIG, TINY_WHISPER, tiny_asr_model

LINEARS = ("q_proj", "v_proj", "fc1")
ADAPTED = EncoderConfig(
    source=None, architecture=TINY_WHISPER, lora=LoRAConfig(rank=2, alpha=4.0, targets=LINEARS, first_block=1)
)
TEXTS = ["one two three", "four five"]
WAVEFORMS = (noise(16_000, 0), noise(24_000, 1))


def objective(encoder: EncoderConfig = ADAPTED) -> SpeechLLMObjective:
    torch.manual_seed(0)
    model = tiny_asr_model(replace(TINY_CONFIG, encoder=encoder, draft_only=True))
    train_adapters(model)
    return SpeechLLMObjective(model, mask=MaskConfig(spans_per_second=0.0), ctc_weight=0.3, dtype=torch.float32)


def batches(found: SpeechLLMObjective) -> list[Batch]:
    """Recordings, and the same stored by the blocks that are left alone; all that lies behind a row's end is noise."""
    model = found.model
    assert model.encoder is not None
    first = model.encoder.until(1)
    stored, lengths_B = first(*first.features(WAVEFORMS))
    for row_TD, length in zip(stored, lengths_B, strict=True):
        row_TD[length:] = torch.randn(row_TD[length:].shape)
    rows = {
        "lengths_B": lengths_B,
        "labels": [list(found.labels(text)) for text in TEXTS],
        "references": TEXTS,
        "ids": ["a", "b"],
        "duration": 2.5,
    }
    return [
        Batch(features_BTD=torch.empty(0), waveforms=WAVEFORMS, **rows),
        Batch(features_BTD=stored.detach(), **rows),
    ]


def test_stored_blocks_train_as_recordings_do():
    found = objective()
    results = []
    for batch in batches(found):
        step = Step(index=0, epoch=0, seed=0, ids=("a", "b"), labels=tuple(map(tuple, batch.labels)), duration=2.5)
        found.zero_grad()
        loss = found(batch, step).loss
        loss.backward()
        gradients = {name: one.grad for name, one in found.named_parameters() if one.grad is not None}
        results.append((loss.detach(), gradients, [one.text for one in found.eval().transcribe(batch)]))
    (loss, gradients, texts), (stored_loss, stored_gradients, stored_texts) = results
    torch.testing.assert_close(stored_loss, loss)
    assert any("encoder.layers.1" in name for name in gradients)
    assert not any("encoder.layers.0" in name for name in gradients)
    torch.testing.assert_close(stored_gradients, gradients, rtol=1e-4, atol=1e-5)
    assert stored_texts == texts


def test_a_cache_holds_what_the_blocks_that_are_left_alone_give(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", noise(16_000), 16_000)
    utterance = Utterance(id="a", audio=tmp_path / "a.wav", duration=1.0, text="one two", speaker="")
    config = replace(ADAPTED, source=str(save_encoder(tmp_path / "encoder", "whisper")), architecture={})
    encoder = build_frozen_part(config)
    cache_features([utterance], encoder, tmp_path / "cache", meta=stored_meta(config))
    write_manifest(tmp_path / "all.jsonl", [utterance])
    found = objective(config)
    data = DataConfig(max_infeasible=1.0)

    def features(source: str) -> torch.Tensor:
        sources: list[Source] = training_sources([source], tmp_path, found, data)
        (example,) = sources[0].examples
        return torch.tensor(example.cache.features(example.utterance)).float()

    expected = encoder(*encoder.features([noise(16_000)])).last_hidden_state[0]
    for source in ("cache", "all.jsonl"):
        assert torch.allclose(features(str(tmp_path / source)), expected, atol=0.05)

    whole = replace(config, lora=None)
    cache_features([utterance], build_encoder(whole), tmp_path / "whole", meta=stored_meta(whole))
    with pytest.raises(ConfigError, match=r"whole holds the encoder's output; this training reads the input of its bl"):
        training_sources([str(tmp_path / "whole")], tmp_path, found, data)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lora": replace(ADAPTED.lora, first_block=2)}, "first_block is 2; expected 1 to 1"),
        ({"pad_to_window": True}, "expected encoder.pad_to_window=false"),
        ({"family": "hubert", "architecture": ENCODERS["hubert"]}, "this encoder cannot be divided, so only 0"),
    ],
)
def test_what_cannot_be_divided_is_refused_at_once(changes: dict, reason: str):
    with pytest.raises(ConfigError, match=reason):
        build_encoder(replace(ADAPTED, **changes))


def test_nothing_is_stored_of_an_encoder_that_is_adapted_from_its_first_block_on():
    assert ADAPTED.lora is not None
    config = replace(ADAPTED, lora=replace(ADAPTED.lora, first_block=0))
    assert not config.is_storable
    with pytest.raises(ConfigError, match="trained from its first block on"):
        build_frozen_part(config)


@pytest.mark.parametrize("wanted", [None, LoRAConfig(rank=3, alpha=3.0, dropout=0.5, targets=("k_proj",))])
def test_training_goes_on_with_the_adapters_that_a_checkpoint_has(tmp_path: Path, wanted: LoRAConfig | None):
    config = miniature(build_recipe("tiny_audio_base").model, tmp_path / "llm")
    encoder = replace(ADAPTED, source=str(save_encoder(tmp_path / "encoder", "whisper")), architecture={})
    config = replace(config, encoder=encoder)
    model = ASRModel(config)
    train_adapters(model)
    save_checkpoint(tmp_path / "old", model, dtype=torch.float32)
    stage = build_recipe("tiny_audio_base").stage("correct")
    other = replace(config, encoder=replace(encoder, lora=wanted), llm=replace(config.llm, lora=LoRAConfig(rank=5)))
    found = build_objective(replace(stage, model=other, init=str(tmp_path / "old")), tmp_path / "run")
    assert isinstance(found, SpeechLLMObjective)
    torch.testing.assert_close(found.trained_state(), trained_state(model))
    assert found.model.config.encoder.lora == replace(ADAPTED.lora, dropout=wanted.dropout if wanted else 0.0)


def test_a_projector_learns_alone_and_goes_on_with_spellings_from_what_it_knows(tmp_path: Path):
    config = miniature(build_recipe("tiny_audio_base").model, tmp_path / "llm")
    encoder = replace(ADAPTED, source=str(save_encoder(tmp_path / "encoder", "whisper")), architecture={})
    config = replace(config, encoder=encoder)
    model = ASRModel(config).eval()
    train_adapters(model)
    save_checkpoint(tmp_path / "old", model, dtype=torch.float32)
    stage = build_recipe("tiny_audio_base").stage("align")
    wanted = replace(config, draft_only=True, projector=replace(config.projector, spelling_dim=8))
    stage = replace(stage, model=wanted, init=str(tmp_path / "old"), optim=replace(stage.optim, lora_learning_rate=0.0))
    found = build_objective(stage, tmp_path / "run")
    assert isinstance(found, SpeechLLMObjective)
    trained = [name for name, parameter in found.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(name.startswith("model.projector.") for name in trained)
    assert any(name.startswith("model.projector.spelling.") for name in trained)
    frames = torch.randn(1, 24, config.encoder_dim)
    with torch.inference_mode():
        before, after = (one.projector(frames).hidden_BAE @ one.ctc_table_VE.T for one in (model, found.model.eval()))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    found.save(tmp_path / "new")
    again = ASRModel.from_pretrained(tmp_path / "new")
    assert again.config.projector.spelling_dim == 8
    torch.testing.assert_close(again.ctc_table_VE, found.model.ctc_table_VE, atol=1e-2, rtol=1e-2)
