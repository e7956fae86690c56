"""The whole recogniser, tiny: batch equals single, silence has no words, checkpoints name what is wrong with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_audio.errors import CheckpointError, UnknownNameError
from tiny_audio.models.asr_config import ASRConfig, LoRAConfig, ProjectorConfig
from tiny_audio.models.asr_model import ASRModel, CandidateScores, choose_text, frame_posteriors
from tiny_audio.models.checkpoint import (
    build_projector,
    load_trained_state,
    read_checkpoint,
    save_checkpoint,
    trained_state,
)
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.lora import add_lora
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_models import tiny_llm, word_tokenizer

TOKENIZER = word_tokenizer()
CONFIG = ASRConfig(
    encoder_dim=64,
    llm_dim=16,
    projector=ProjectorConfig(hidden_dim=32, num_blocks=1),
    lora=LoRAConfig(rank=2, alpha=4.0),
)


@pytest.fixture(scope="module")
def model() -> ASRModel:
    torch.manual_seed(0)
    llm = tiny_llm(TOKENIZER)
    projector = build_projector(CONFIG)
    torch.nn.init.normal_(projector.down.weight, std=0.3)
    return ASRModel(
        CONFIG,
        encoder=WhisperEncoder(dim=64, num_layers=1),
        projector=projector,
        table_VE=llm.get_input_embeddings().weight,
        tokenizer=TOKENIZER,
        speech_llm=SpeechLLM(llm, TOKENIZER),
    ).eval()


def noise(num_samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


def test_a_batch_gives_the_same_hypotheses_as_each_clip_alone(model: ASRModel):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 1_600, 24_321, 9_999))]
    together = model.transcribe_waveforms(waveforms)
    assert together == [model.transcribe_waveforms([waveform])[0] for waveform in waveforms]
    assert any(hypothesis.draft for hypothesis in together)


def test_the_chosen_text_has_the_highest_joint_score_and_each_side_may_propose(model: ASRModel):
    waveform = noise(16_000, 5)
    (hypothesis,) = model.transcribe_waveforms([waveform])
    with torch.inference_mode():
        mel_BMF, mel_lengths_B = model.encoder.features([waveform])
        lengths_B = model.encoder.mel_to_encoder_frames(mel_lengths_B)
        projected = model.projector(model.encoder(mel_BMF, mel_lengths_B), lengths_B)
        posteriors = frame_posteriors(projected.hidden_BAE[0], projected.blank_BA[0], model.table_VE)
        of_ctc = model.candidate_texts(posteriors)
        scores = model.score_candidates(posteriors, projected)
    assert of_ctc.keys() <= scores.keys()
    assert len(scores) <= len(of_ctc) + 1  # and the language model's own, where it is new
    totals = {text: one.llm + 0.5 * one.ctc + 1.0 * len(text.split()) for text, one in scores.items()}
    assert hypothesis.text == max(totals, key=totals.__getitem__)


def test_weights_move_the_choice_between_the_two_judges():
    scores = {"heard": CandidateScores(llm=-9.0, ctc=-1.0), "fluent text": CandidateScores(llm=-2.0, ctc=-20.0)}
    assert choose_text(scores, ctc_weight=0.0, word_bonus=0.0) == "fluent text"
    assert choose_text(scores, ctc_weight=1.0, word_bonus=0.0) == "heard"
    assert choose_text(scores, ctc_weight=1.0, word_bonus=13.0) == "fluent text"


def test_when_the_ctc_hears_nothing_the_language_model_is_not_asked(model: ASRModel):
    bias = model.projector.blank.bias.detach().clone()
    with torch.no_grad():
        model.projector.blank.bias.fill_(100.0)
    (hypothesis,) = model.transcribe_waveforms([noise(16_000, 5)])
    with torch.no_grad():
        model.projector.blank.bias.copy_(bias)
    assert (hypothesis.text, hypothesis.draft, hypothesis.no_speech) == ("", "", True)


def trained_modules() -> tuple[torch.nn.Module, SpeechLLM]:
    llm = tiny_llm(TOKENIZER)
    add_lora(llm, rank=2, alpha=4.0)
    torch.manual_seed(3)
    projector = build_projector(CONFIG)
    for parameter in [*projector.parameters(), *(p for p in llm.parameters() if p.requires_grad)]:
        torch.nn.init.normal_(parameter)
    return projector, SpeechLLM(llm, TOKENIZER)


def test_a_saved_checkpoint_loads_to_the_same_tensors_and_holds_no_frozen_weight(tmp_path: Path):
    projector, speech_llm = trained_modules()
    save_checkpoint(tmp_path, CONFIG, projector, speech_llm, dtype=torch.float32)
    config, state = read_checkpoint(tmp_path)
    assert config == CONFIG
    assert {name.split(".")[0] for name in state} == {"projector", "lora"}
    other_projector, other_llm = trained_modules()
    with torch.no_grad():
        for parameter in other_projector.parameters():
            parameter.zero_()
    load_trained_state(state, other_projector, other_llm)
    for name, tensor in trained_state(other_projector, other_llm).items():
        assert torch.equal(tensor, state[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_wrong_tensors_are_named(tmp_path: Path):
    projector, speech_llm = trained_modules()
    state = trained_state(projector, speech_llm)
    state["projector.extra"] = state.pop("projector.down.bias")
    with pytest.raises(CheckpointError, match=r"missing projector\.down\.bias; unexpected projector\.extra"):
        load_trained_state(state, projector, speech_llm)


def test_what_is_no_checkpoint_is_one_clear_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="expected a checkpoint folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(UnknownNameError, match="unknown model 'tiny-audio-bas'"):
        read_checkpoint("tiny-audio-bas")
    projector, speech_llm = trained_modules()
    save_checkpoint(tmp_path, replace(CONFIG, format_version=99), projector, speech_llm, dtype=torch.float16)
    with pytest.raises(CheckpointError, match="update tiny-audio"):
        read_checkpoint(tmp_path)
    CONFIG.save(tmp_path / "config.json")
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot read"):
        read_checkpoint(tmp_path)
