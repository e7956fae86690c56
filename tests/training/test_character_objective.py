"""A CTC over characters is learnt beside a checkpoint, and decides with it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from miniatures import save_adapted
from tiny_audio.data.batch import Batch
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.stream import Step
from tiny_audio.errors import ConfigError
from tiny_audio.inference import recognizer as recognizer_module
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models import clarity
from tiny_audio.models.asr_config import CharactersConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.averaging import average_checkpoints
from tiny_audio.models.checkpoint import read_checkpoint, write_checkpoint
from tiny_audio.models.modules import count_parameters
from tiny_audio.recipes import build_recipe
from tiny_audio.text.ctc_units import normalize_transcript
from tiny_audio.training.build import build_objective
from tiny_audio.training.character_objective import CharacterObjective
from tiny_audio.training.config import MaskConfig, OptimConfig, TrainConfig
from tiny_audio.training.loop import train
from tiny_audio.training.objective import StepOutput

TEXTS = ["one two three", "Two, one!", "three three", "in 1518", "one one two"]


def sung(text: str) -> np.ndarray:
    """A tone of its own for each letter, 0.1 s long."""
    time = np.arange(1_600) / 16_000
    letters = normalize_transcript(text)
    tones = [np.sin(2 * np.pi * (200 + 150 * (ord(letter) - ord("a"))) * time) for letter in letters]
    return (0.3 * np.concatenate([tone * (letter != " ") for tone, letter in zip(tones, letters, strict=True)])).astype(
        np.float32
    )


def recordings(folder: Path) -> Path:
    utterances = []
    for number, text in enumerate(TEXTS):
        sound = sung(text)
        soundfile.write(folder / f"{number}.wav", sound, 16_000)
        duration = len(sound) / 16_000
        utterances.append(Utterance(id=str(number), audio=folder / f"{number}.wav", duration=duration, text=text))
    write_manifest(folder / "train.jsonl", utterances)
    return folder / "train.jsonl"


def config(init: Path, manifest: Path, *, steps: int) -> TrainConfig:
    optim = OptimConfig(learning_rate=1e-2, warmup_steps=1, max_steps=steps, max_batch_duration=3.5)
    stage = build_recipe("tiny_audio_base_adapted").stage("characters")
    sizes = replace(stage.model, characters=CharactersConfig(hidden_dim=64, num_blocks=1))
    return replace(
        stage, model=sizes, init=str(init), train=(str(manifest),), optim=optim, save_every=2 if steps < 100 else 1000
    )


def test_it_learns_to_spell_and_the_rest_of_the_checkpoint_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recognizer_module, "NO_SPEECH_THRESHOLD", 2.0)
    start, manifest = save_adapted(tmp_path / "start"), recordings(tmp_path)
    run = train(config(start, manifest, steps=150), tmp_path / "run")

    before, after = load_file(start / "model.safetensors"), load_file(run.checkpoint / "model.safetensors")
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"characters"}
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    losses = [json.loads(line).get("loss") for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [loss for loss in losses if loss is not None]
    assert losses[-1] < 0.5 * losses[0]

    (dropped,) = map(json.loads, (tmp_path / "run" / "dropped.jsonl").read_text().splitlines())
    assert dropped["text"] == "in 1518"
    assert "fifteen eighteen" in dropped["reason"]
    model = ASRModel.from_pretrained(run.checkpoint)
    assert model.characters is not None
    assert model.characters.word_list.counts == {"one": 4, "two": 3, "three": 3}
    assert count_parameters(model.config)["characters"].total == sum(
        parameter.numel() for parameter in model.characters.parameters()
    )

    recognizer = Recognizer(model)
    waveforms = [sung(text) for text in ("one two three", "three two", "two")]
    together = recognizer.transcribe_waveforms(waveforms)
    alone = [recognizer.transcribe_waveforms([waveform])[0] for waveform in waveforms]
    assert [one.text for one in together] == [one.text for one in alone]
    (heard,) = recognizer._hear_waveforms(waveforms[:1])
    assert heard.letters is not None
    texts = ["one two three", "three three", "one one two"]
    scores = dict(zip(texts, heard.letters.log_probs(texts), strict=True))
    assert max(scores, key=scores.__getitem__) == "one two three"

    # Without a language model, tokens and letters decide.
    spelt = Recognizer(model, mode="letters")
    assert (spelt.runner, spelt.speech_llm) == (None, None)
    together = spelt.transcribe_waveforms(waveforms)
    alone = [spelt.transcribe_waveforms([waveform])[0] for waveform in waveforms]
    assert [one.text for one in together] == [one.text for one in alone]
    assert all(one.num_passes == 0 for one in together)
    assert all(one.text == one.draft for one in Recognizer(model, mode="fast").transcribe_waveforms(waveforms))

    # Where the tokens have nothing to say, letters alone may; after so few steps they are not clear yet.
    monkeypatch.setattr(clarity, "CLEAR_POSTERIOR", 0.2)
    with torch.no_grad():
        model.projector.blank.bias.fill_(12.0)
    (unheard,) = Recognizer(model).transcribe_waveforms(waveforms[2:])
    assert (unheard.draft, unheard.text) == ("", "two")

    # In a mean, and in 8 bits, the words stay.
    average_checkpoints({run.checkpoint: 0.5, str(run.checkpoint): 0.5}, tmp_path / "mean")
    write_checkpoint(tmp_path / "small", *read_checkpoint(tmp_path / "mean"), dtype=torch.int8)
    small = ASRModel.from_pretrained(tmp_path / "small")
    assert small.characters is not None
    assert small.characters.word_list.counts == model.characters.word_list.counts

    # It goes on from there, with the words it has.
    again = train(config(run.checkpoint, manifest, steps=2), tmp_path / "again")
    assert "characters.words" in load_file(again.checkpoint / "model.safetensors")


def test_a_run_that_was_interrupted_ends_like_one_that_was_not(tmp_path: Path):
    start, manifest = save_adapted(tmp_path / "start"), recordings(tmp_path)
    settings, forward = config(start, manifest, steps=6), CharacterObjective.forward
    whole = train(settings, tmp_path / "whole")

    def until_the_fourth(self: CharacterObjective, batch: Batch, step: Step) -> StepOutput:
        if step.index == 3:
            raise KeyboardInterrupt
        return forward(self, batch, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CharacterObjective, "forward", until_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            train(settings, tmp_path / "half")
    continued = train(settings, tmp_path / "half")
    ours, theirs = (load_file(run.checkpoint / "model.safetensors") for run in (continued, whole))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_hidden_frames_cannot_be_learnt_from(tmp_path: Path):
    start, manifest = save_adapted(tmp_path / "start"), recordings(tmp_path)
    settings = replace(config(start, manifest, steps=1), seed=3)
    weights = []
    for name, spans in (("none", 0.0), ("again", 0.0), ("some", 5.0)):
        run = train(replace(settings, mask=MaskConfig(spans_per_second=spans)), tmp_path / name)
        weights.append(load_file(run.checkpoint / "model.safetensors")["characters.output.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_checkpoint_is_needed(tmp_path: Path):
    stage = build_recipe("tiny_audio_base_adapted").stage("characters")
    with pytest.raises(ConfigError, match="--init"):
        build_objective(stage, tmp_path)
