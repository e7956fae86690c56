"""A describer learns what is true of recordings, and all else in its checkpoint stays as it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from miniatures import noise, save_adapted
from tiny_audio.cli import main
from tiny_audio.data.batch import Batch
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.stream import Step
from tiny_audio.errors import ConfigError, PromptError
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import read_checkpoint, read_config, write_checkpoint
from tiny_audio.models.describer import Describer
from tiny_audio.recipes import build_recipe
from tiny_audio.text.descriptions import FACTS, read_facts
from tiny_audio.training.build import build_objective
from tiny_audio.training.config import OptimConfig, TrainConfig
from tiny_audio.training.describe_objective import DescribeObjective
from tiny_audio.training.loop import train
from tiny_audio.training.objective import StepOutput

HEARD = [fact for fact in FACTS if fact != "pace"]


def recordings(folder: Path, *, count: int = 12) -> Path:
    """Women hum and men hiss."""
    utterances = []
    for number in range(count):
        is_woman = number % 2 == 0
        sound = np.sin(np.arange(16_000) * 0.1) if is_woman else noise(16_000, number)
        soundfile.write(folder / f"{number}.wav", np.clip(0.3 * sound, -1, 1), 16_000)
        says = "A woman speaks, with loud hum." if is_woman else "A man speaks, with faint hiss."
        utterances.append(
            Utterance(
                id=str(number),
                audio=folder / f"{number}.wav",
                duration=1.0,
                text="one",
                task="describe" if number else "",  # the first one only has a transcript
                response=says if number else "",
            )
        )
    write_manifest(folder / "described.jsonl", utterances)
    return folder / "described.jsonl"


def config(init: Path, manifest: Path, *, steps: int) -> TrainConfig:
    optim = OptimConfig(learning_rate=0.1, warmup_steps=1, max_steps=steps, max_batch_duration=6.0)
    stage = build_recipe("tiny_audio_base_adapted").stage("describe")
    return replace(stage, init=str(init), train=(str(manifest),), optim=optim, save_every=2)


def test_it_says_what_it_was_taught_and_the_rest_of_the_checkpoint_is_the_same(tmp_path: Path, capsys):
    start = save_adapted(tmp_path / "start")
    manifest = recordings(tmp_path)
    run = train(config(start, manifest, steps=120), tmp_path / "run")

    before, after = load_file(start / "model.safetensors"), load_file(run.checkpoint / "model.safetensors")
    assert {name for name in after if name not in before} == {"describer.linear.weight", "describer.linear.bias"}
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    found = read_config(run.checkpoint)
    assert set(found.tasks) == {"transcribe", "describe"}
    assert list(found.described_facts) == HEARD

    wavs = [str(tmp_path / name) for name in ("2.wav", "3.wav")]
    assert main(["describe", *wavs, "--model", str(run.checkpoint)]) == 0
    woman, man = (read_facts(line.split("\t")[1]) for line in capsys.readouterr().out.splitlines())
    assert (woman["speaker"], woman["noise"], woman["noise level"]) == ("woman", "hum", "loud")
    assert (man["speaker"], man["noise"], man["noise level"]) == ("man", "hiss", "faint")
    assert "room" not in woman | man  # nobody said anything about it

    texts = [
        Recognizer.from_pretrained(folder).transcribe_waveforms([noise(16_000, 5)])
        for folder in (start, run.checkpoint)
    ]
    assert texts[0] == texts[1]

    with pytest.raises(PromptError, match="tiny-audio describe"):  # the language model was not taught it
        ASRModel.from_pretrained(run.checkpoint).generate(noise(16_000, 5), task="describe")


def test_a_run_that_was_interrupted_ends_like_one_that_was_not(tmp_path: Path):
    start = save_adapted(tmp_path / "start")
    manifest = recordings(tmp_path)
    whole = train(config(start, manifest, steps=6), tmp_path / "whole")
    half, forward = config(start, manifest, steps=6), DescribeObjective.forward

    def until_the_fourth(self: DescribeObjective, batch: Batch, step: Step) -> StepOutput:
        if step.index == 3:
            raise KeyboardInterrupt
        return forward(self, batch, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DescribeObjective, "forward", until_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            train(half, tmp_path / "half")
    continued = train(half, tmp_path / "half")
    ours, theirs = (load_file(run.checkpoint / "model.safetensors") for run in (continued, whole))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_row_in_a_batch_is_described_like_the_row_alone():
    torch.manual_seed(0)
    describer = Describer(8, {fact: tuple(FACTS[fact]) for fact in HEARD})
    torch.nn.init.normal_(describer.linear.weight)
    frames_BTD, lengths_B = torch.randn(3, 7, 8), torch.tensor([7, 4, 1])
    together = describer(frames_BTD, lengths_B)
    for row, length in enumerate(lengths_B.tolist()):
        alone = describer(frames_BTD[row : row + 1, :length], lengths_B[row : row + 1])
        for fact in HEARD:
            torch.testing.assert_close(together[fact][row], alone[fact][0])
    assert all(torch.isfinite(logits).all() for logits in together.values())


def test_nothing_is_said_that_is_not_probable_and_a_dry_room_has_no_distance():
    describer = Describer(4, {fact: tuple(FACTS[fact]) for fact in HEARD})
    frames = torch.randn(1, 5, 4), torch.tensor([5])
    assert describer.describe(*frames) == [{"noise": "hiss"}]  # untrained: four of five values are some noise
    certain = {"distance": "far", "room": "dry", "noise": "none", "noise level": "loud"}
    places = [(fact, value) for fact, values in describer.facts.items() for value in values]
    with torch.no_grad():
        for place in certain.items():
            describer.linear.bias[places.index(place)] = 9.0
    assert describer.describe(*frames) == [{"room": "dry", "noise": "none"}]


def test_other_blocks_of_the_encoder_would_give_a_describer_something_else(tmp_path: Path):
    manifest = recordings(tmp_path)
    run = train(config(save_adapted(tmp_path / "start"), manifest, steps=2), tmp_path / "run")
    stage = build_recipe("tiny_audio_base_adapted").stage("align")
    same = build_objective(replace(stage, init=str(run.checkpoint)), tmp_path)
    assert "describer.linear.weight" in same.trained_state()

    folder = tmp_path / "frozen"
    found, state = read_checkpoint(save_adapted(folder))
    plain = replace(found, encoder=replace(found.encoder, lora=None))
    rest = {name: tensor for name, tensor in state.items() if not name.startswith("encoder_lora.")}
    write_checkpoint(folder, plain, rest, dtype=torch.float16)
    run = train(config(folder, manifest, steps=2), tmp_path / "run2")
    wanted = replace(stage, init=str(run.checkpoint), model=replace(stage.model, encoder=found.encoder))
    changed = build_objective(wanted, tmp_path)
    assert not any(name.startswith("describer.") for name in changed.trained_state())
    changed.save(tmp_path / "changed")
    assert read_config(tmp_path / "changed").tasks == ("transcribe",)


@pytest.mark.parametrize("first_block", [0, None])
def test_what_it_cannot_listen_to_is_said(tmp_path: Path, first_block: int | None):
    start = None if first_block is None else str(save_adapted(tmp_path / "start", first_block=first_block))
    with pytest.raises(ConfigError, match="give one with --init" if start is None else "first_block above 0"):
        build_objective(TrainConfig(objective="describe", init=start), tmp_path)


def test_words_are_not_validated():
    with pytest.raises(ConfigError, match="tiny-audio eval"):
        TrainConfig(objective="describe", init="x", validation=("a.jsonl",))
