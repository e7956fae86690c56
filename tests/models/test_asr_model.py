"""The whole recogniser, tiny: batch equals single, silence has no words, checkpoints name what is wrong with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_audio.errors import CheckpointError, PromptError, UnknownNameError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.checkpoint import load_trained_state, read_checkpoint, trained_state
from tiny_models import TINY_CONFIG, tiny_asr_model


def noise(num_samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


def test_encode_and_project_give_the_declared_shapes_for_one_waveform_or_several():
    model = tiny_asr_model()
    one = model.encode(torch.from_numpy(noise(16_000, 0)).unsqueeze(0), 16_000)
    assert one.shape == (1, 50, 64)
    assert model.encode(noise(8_000, 0), 8_000).shape == (1, 50, 64)  # resampled
    assert model.audio_projector(one).shape == (1, 13, 16)
    assert model.encode([noise(16_000, 0), noise(4_000, 1)]).shape == (2, 50, 64)
    assert model.config.audio_downsample_rate == 4


def test_generate_answers_a_batch_as_it_answers_each_alone_and_refuses_what_it_cannot():
    model = tiny_asr_model()
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 1_600, 24_321))]
    together = model.generate(waveforms, max_new_tokens=8)
    assert together == [model.generate([waveform], max_new_tokens=8)[0] for waveform in waveforms]
    assert len(model.generate(prompt="what is one and two", max_new_tokens=4)) == 1
    with pytest.raises(UnknownNameError, match="task"):
        model.generate(waveforms, task="translat")
    with pytest.raises(PromptError, match="neither audio nor a prompt"):
        model.generate()


def test_a_saved_checkpoint_loads_to_the_same_tensors_and_holds_no_frozen_weight(tmp_path: Path):
    model = tiny_asr_model(with_encoder=False)
    named = replace(TINY_CONFIG, llm=replace(TINY_CONFIG.llm, source="smollm2-135m-instruct"))
    model.config = named
    state = trained_state(model)
    assert {name.split(".")[0] for name in state} == {"projector", "lora"}
    model.save_pretrained(tmp_path, dtype=torch.float32)
    config, saved = read_checkpoint(tmp_path)
    assert config.projector == TINY_CONFIG.projector
    assert config.llm.sha256 is not None
    assert config.prompt.token_ids.count(-1) == 1
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in state.items())
    other = tiny_asr_model(with_encoder=False, seed=1)
    other.config = named
    load_trained_state(saved, other)
    for name, tensor in trained_state(other).items():
        assert torch.equal(tensor, saved[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_an_encoder_that_comes_from_nowhere_lies_in_the_checkpoint_and_such_a_language_model_is_refused(tmp_path: Path):
    model = tiny_asr_model()
    assert {name.split(".")[0] for name in trained_state(model)} == {"projector", "lora", "encoder"}
    with pytest.raises(CheckpointError, match="no source"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_wrong_tensors_are_named():
    model = tiny_asr_model()
    state = dict(trained_state(model))
    state["projector.extra"] = state.pop("projector.down.bias")
    with pytest.raises(CheckpointError, match=r"missing projector\.down\.bias; unexpected projector\.extra"):
        load_trained_state(state, model)


def test_what_is_no_checkpoint_is_one_clear_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="expected a checkpoint folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(UnknownNameError, match="unknown model 'tiny-audio-bas'"):
        read_checkpoint("tiny-audio-bas")
    replace(TINY_CONFIG, format_version=99).save(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="update tiny-audio"):
        read_checkpoint(tmp_path)
    TINY_CONFIG.save(tmp_path / "config.json")
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot read"):
        read_checkpoint(tmp_path)
    assert ASRConfig.load(tmp_path / "config.json") == TINY_CONFIG
