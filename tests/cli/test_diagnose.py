"""`tiny-audio diagnose` on a real run, on its checkpoints, and on folders that are none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from miniatures import miniature, noise, save_encoder
from tiny_audio.cli import main
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.recipes import build_recipe
from tiny_audio.training.loop import train
from word_systems import saved_word_config, word_cache


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    word_cache(folder / "train")
    word_cache(folder / "dev", num_utterances=8, seed=1)
    config = saved_word_config(folder, warmup_steps=5, max_steps=120)
    sources = {"train": (str(folder / "train"),), "validation": (str(folder / "dev"),)}
    train(replace(config, **sources, validate_every=40, save_every=40), folder / "run")
    return folder / "run"


def test_a_run_is_judged_in_words(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["diagnose", str(run_folder), "--utterances", "8"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{run_folder / 'checkpoint'}, step 120, 8 utterances")
    for name in ("audio gap (ctc)", "blank rate", "learning rate", "infeasible targets", "training / validation loss"):
        assert name in printed
    assert "it listens: loss with the right recording" in printed


def test_for_programs_it_is_json(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["diagnose", str(run_folder), "--utterances", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"name", "found", "expected", "severity", "verdict"} == set(found["findings"][0])
    assert found["step"] == 120
    names = [finding["name"] for finding in found["findings"]]
    assert len(set(names)) == len(names)


def test_a_checkpoint_of_the_run_knows_the_run(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["diagnose", str(run_folder / "best"), "--utterances", "4"]) == 0
    assert f"{run_folder / 'best'}, step 120" in capsys.readouterr().out


def test_a_checkpoint_alone_needs_data(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    alone = tmp_path / "somewhere" / "alone"
    alone.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (alone / name).write_bytes((run_folder / "checkpoint" / name).read_bytes())
    assert main(["diagnose", str(alone)]) == 1
    assert "give some with --data" in capsys.readouterr().err
    assert main(["diagnose", str(alone), "--data", str(run_folder.parent / "dev"), "--utterances", "4"]) == 0
    printed = capsys.readouterr().out
    assert "audio gap (ctc)" in printed
    assert "learning rate" not in printed.splitlines()[0]


@pytest.mark.parametrize("kind", ["ctc", "speech_llm"])
def test_other_kinds_of_checkpoints_read_recordings(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    manifest, model = tmp_path / "data" / "manifest.jsonl", tmp_path / "model"
    texts = ["one two", "three", "four five", "two"]
    utterances = []
    for number, text in enumerate(texts):
        samples = noise(24_000 + 1000 * number, seed=number)
        audio = tmp_path / "data" / f"{number}.wav"
        audio.parent.mkdir(exist_ok=True)
        soundfile.write(audio, samples, 16_000)
        utterances.append(Utterance(id=f"u{number}", audio=audio, duration=len(samples) / 16_000, text=text))
    write_manifest(manifest, utterances)
    if kind == "ctc":
        save_encoder(model, "aut")
    else:
        config = miniature(build_recipe("whisper_turbo_conv_smollm3").stage("speech_llm").model, tmp_path)
        source = str(save_encoder(tmp_path / "whisper", "whisper"))
        ASRModel(replace(config, encoder=replace(config.encoder, source=source))).save_pretrained(model)
    assert main(["diagnose", str(model), "--data", str(manifest), "--utterances", "4", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    part = "head" if kind == "ctc" else "projector"
    assert f"gradient ({part})" in found
    assert ("blank rate" in found) == (kind == "ctc")
    gap = next(one for name, one in found.items() if name.startswith("audio gap"))
    assert "ignores the audio" in gap["verdict"]  # nobody has trained it


def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["diagnose", str(tmp_path)]) == 1
    assert main(["diagnose", str(tmp_path / "none" / "there")]) == 1
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text(json.dumps({"objective": "align", "save_every": 500}))
    assert main(["diagnose", str(tmp_path / "new")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "has no checkpoint yet; expected one after step 500" in errors[-1]
