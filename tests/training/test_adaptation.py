"""Adapting: what comes out is measured on what was not trained on, and chance is not called a gain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from miniatures import miniature, noise, save_adapted, save_encoder
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.replay import replay_utterances
from tiny_audio.errors import CheckpointError, DatasetError
from tiny_audio.evaluation.results import SystemResult, UtteranceResult
from tiny_audio.evaluation.scoring import build_scorer
from tiny_audio.models.asr_config import CharactersConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.averaging import average_checkpoints
from tiny_audio.models.checkpoint import read_config, save_checkpoint
from tiny_audio.models.modules import build_modules
from tiny_audio.recipes import build_recipe
from tiny_audio.training.adaptation import Adaptation, AdaptConfig, adapt
from tiny_audio.training.build import build_objective
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_models import WORDS

QUICK = AdaptConfig(steps=2, letter_steps=2, copies=1, step_duration=10.0)


def save_model(folder: Path, *, seed: int = 0) -> Path:
    """A small system like the shipped one, untrained."""
    torch.manual_seed(seed)
    config = miniature(build_recipe("tiny_audio_base").model, folder.parent / "llm")
    encoder = folder.parent / "encoder"
    if not encoder.exists():
        save_encoder(encoder, "whisper")
    config = replace(config, encoder=replace(config.encoder, source=str(encoder), architecture={}))
    save_checkpoint(folder, ASRModel(config, build_modules(config)), dtype=torch.float32)
    return folder


def recordings(folder: Path, count: int) -> list[Utterance]:
    """Noise that is said to be words, all different."""
    utterances = []
    for number in range(count):
        path = folder / f"{number}.wav"
        soundfile.write(path, np.clip(noise(16_000, seed=number), -1, 1), 16_000)
        text = f"{WORDS[number % 5]} {WORDS[number // 5 % 5]}"
        utterances.append(Utterance(id=path.stem, audio=path, duration=1.0, text=text))
    return utterances


def result(errors: list[int]) -> SystemResult:
    """Utterances of ten words, of which so many are wrong."""
    scorer, words = build_scorer(), "red green blue gold grey pink white black brown violet".split()
    answers = [
        UtteranceResult(
            id=str(number),
            reference=" ".join(words),
            hypothesis=" ".join(["wrong"] * wrong + words[wrong:]),
            duration=1.0,
        )
        for number, wrong in enumerate(errors)
    ]
    return scorer.score_system("model", [scorer.score(answer) for answer in answers])


def verdict(before: list[int], after: list[int], general: tuple[list[int], list[int]] = ([0] * 20, [0] * 20)) -> str:
    """Of a pair of measurements."""
    own = (result(before), result(after))
    return Adaptation(model=Path("m"), share=1.0, own=own, general=(result(general[0]), result(general[1]))).verdict


def test_a_gain_is_one_only_if_it_is_larger_than_chance():
    assert verdict([3] * 20, [1] * 20).startswith("better: 30.0% -> 10.0%")
    assert verdict([3, 0] * 10, [0, 3] * 9 + [0, 2]).startswith("not shown to be better")
    assert verdict([1] * 20, [3] * 20).startswith("worse")
    assert "worse on general speech" in verdict([3] * 20, [1] * 20, ([0] * 20, [2] * 20))


def test_the_replay_set_is_whole_and_its_check_clips_are_not_trained_on():
    replayed, check = replay_utterances()
    assert {one.id for one in replayed}.isdisjoint(one.id for one in check)
    assert {one.text for one in replayed}.isdisjoint(one.text for one in check)
    for one in [*replayed, *check]:
        assert soundfile.info(one.audio).duration == pytest.approx(one.duration, abs=0.02)
        assert one.text.strip()


def test_the_mean_of_checkpoints_lies_between_them(tmp_path: Path):
    first, second = save_model(tmp_path / "first"), save_model(tmp_path / "second", seed=1)
    average_checkpoints({first: 0.75, second: 0.25}, tmp_path / "mean")
    tensors = [load_file(folder / "model.safetensors") for folder in (first, second, tmp_path / "mean")]
    assert any(not torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    for name, mean in tensors[2].items():
        assert torch.allclose(mean, 0.75 * tensors[0][name] + 0.25 * tensors[1][name], atol=1e-6)
    (second / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="cannot read"):
        average_checkpoints({first: 0.5, second: 0.5}, tmp_path / "mean")
    assert torch.equal(load_file(tmp_path / "mean" / "model.safetensors")[name], mean)  # what was there stays


def test_adapting_trains_measures_on_other_texts_and_leaves_the_old_model_alone(tmp_path: Path):
    model = save_model(tmp_path / "model")
    before = (model / "model.safetensors").read_bytes()
    utterances = recordings(tmp_path, 20)
    adaptation = adapt(str(model), utterances, tmp_path / "out", config=QUICK)
    assert (model / "model.safetensors").read_bytes() == before
    assert (adaptation.model / "model.safetensors").read_bytes() != before
    measured = [one.result.reference for one in adaptation.own[1].utterances]
    trained = {path.read_text() for path in (tmp_path / "out" / "features" / "own").glob("index.jsonl")}.pop()
    assert measured
    assert not any(f'"{text}"' in trained for text in measured)
    again = adapt(str(model), utterances, tmp_path / "out", config=QUICK)  # nothing is left to train
    assert again.own[1].wer == adaptation.own[1].wer


def test_hearing_is_adapted_and_the_language_model_stays_as_it_was(tmp_path: Path):
    model = save_model(tmp_path / "model")
    adaptation = adapt(str(model), recordings(tmp_path, 20), tmp_path / "out", config=QUICK)
    folders = (model, tmp_path / "out" / "run" / "checkpoint", adaptation.model)
    old, trained, mixed = (load_file(folder / "model.safetensors") for folder in folders)
    assert old.keys() == trained.keys() == mixed.keys()
    of_llm = {name for name in old if name.startswith("lora.")}
    assert of_llm
    changed = {name for name in old if not torch.equal(old[name].half(), trained[name])}
    assert "projector.down.weight" in changed
    assert of_llm.isdisjoint(changed)
    found = read_config(adaptation.model)
    assert found == read_config(model)
    assert not found.draft_only


def test_letters_follow_the_encoder_and_know_the_words_of_the_recordings(tmp_path: Path):
    plain, model = save_adapted(tmp_path / "plain"), tmp_path / "model"
    stage = build_recipe("tiny_audio_base_adapted").stage("characters")
    sizes = replace(stage.model, characters=CharactersConfig(hidden_dim=16, num_blocks=1))
    build_objective(replace(stage, model=sizes, init=str(plain)), tmp_path / "run").save(model)
    adaptation = adapt(str(model), recordings(tmp_path, 20), tmp_path / "out", config=QUICK)
    folders = (model, *(tmp_path / "out" / name / "checkpoint" for name in ("run", "letters")), adaptation.model)
    old, heard, spelt, mixed = (load_file(folder / "model.safetensors") for folder in folders)
    weights = {name for name in old if name.startswith("characters.") and old[name].is_floating_point()}
    assert all(torch.equal(old[name].half(), heard[name]) for name in weights)
    assert any(not torch.equal(heard[name], spelt[name]) for name in weights)
    assert all(torch.equal(heard[name], spelt[name]) for name in heard.keys() - weights - {"characters.words"})
    for name in weights:
        share = adaptation.share
        assert torch.allclose(
            mixed[name].float(), (1 - share) * old[name].float() + share * spelt[name].float(), atol=1e-3
        )
    found = ASRModel.from_pretrained(adaptation.model)
    assert found.characters is not None
    assert set(WORDS[:4]) <= set(found.characters.word_list.counts)


def test_align_reads_again_what_it_saved_with_the_language_model(tmp_path: Path):
    model = save_model(tmp_path / "model")
    stage = replace(build_recipe("tiny_audio_base").stage("align"), init=str(model))
    objective = build_objective(stage, tmp_path / "run")
    assert isinstance(objective, SpeechLLMObjective)
    assert objective.model.speech_llm is None  # not in memory
    with torch.no_grad():
        objective.model.projector.down.weight.add_(1.0)
    objective.save(tmp_path / "saved")
    with torch.no_grad():
        objective.model.projector.down.weight.zero_()
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    objective.load_trained_state(saved)  # as the mean of the best checkpoints is
    assert torch.equal(objective.model.projector.down.weight.half(), saved["projector.down.weight"])
    assert any(name.startswith("lora.") for name in saved)


def test_what_costs_general_accuracy_is_taken_by_a_smaller_share_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = save_model(tmp_path / "model")
    measured: list[Path] = []

    def evaluate(transcriber: object, utterances: list[Utterance]) -> SystemResult:
        """General speech suffers in the first two models."""
        measured.append(Path(utterances[0].audio))
        is_general = utterances[0].audio.suffix == ".opus"
        number = sum(path.suffix == ".opus" for path in measured)
        return result([2 if is_general and number in (2, 3) else 1] * 12)

    monkeypatch.setattr("tiny_audio.training.adaptation.evaluate", evaluate)
    config = replace(QUICK, shares=(1.0, 0.5, 0.25, 0.1))
    adaptation = adapt(str(model), recordings(tmp_path, 12), tmp_path / "out", config=config)
    assert adaptation.share == 0.25
    old, new = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "out" / "run" / "checkpoint"))
    for name, tensor in load_file(adaptation.model / "model.safetensors").items():
        expected = 0.75 * old[name].float() + 0.25 * new[name].float()
        assert torch.allclose(tensor.float(), expected, atol=1e-2)


def test_too_few_recordings_are_refused(tmp_path: Path):
    with pytest.raises(DatasetError, match="found 3 recordings; expected 10 or more"):
        adapt("tiny-audio-base", recordings(tmp_path, 3), tmp_path / "out")
