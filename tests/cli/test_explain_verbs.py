"""`trace`, `explore` and `samples` on the command line."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from miniatures import save_encoder
from seeds.conftest import Course, make_course
from tiny_audio.cli import main
from tiny_audio.explain.topics import TOPICS


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return make_course(tmp_path_factory.mktemp("course"), "hubert", None)


ARGUMENTS: dict[str, list[str]] = {
    "audio": ["AUDIO", "--model", "MODEL", "--rate", "8000", "--rate", "16000"],
    "encoder": ["AUDIO", "--encoder", "ENCODER"],
    "encoders": ["AUDIO", "--encoder", "ENCODER", "--encoder", "MODEL"],
    "projector": ["AUDIO", "--model", "MODEL"],
    "downsampling": ["--rate", "4"],
    "activations": [],
    "configs": ["--model", "MODEL"],
    "decoders": [],
    "lora": ["--encoder", "openai/whisper-tiny"],
    "data": ["AUDIO", "--model", "MODEL"],
    "attention": ["AUDIO", "--encoder", "ENCODER"],
}
PICTURES = {
    "audio": {"audio_processing", "sample_rate_comparison", "noise_robustness"},
    "encoders": {"encoder_embeddings"},
    "projector": {"projection_stages", "dimension_importance", "embedding_distributions"},
    "data": {"encoder_output", "projector_output"},
}
"""As the chapters call them."""


def arguments(topic: str, course: Course) -> list[str]:
    places = {"AUDIO": str(course.audio), "MODEL": course.checkpoint, "ENCODER": course.encoder}
    return ["explore", topic, *(places.get(word, word) for word in ARGUMENTS[topic])]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_prints_its_table_and_writes_its_pictures(
    topic: str, course: Course, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plots'")
    file_format = {"encoders": "svg", "lora": "html"}.get(topic, "png")
    assert main([*arguments(topic, course), "--output-dir", str(tmp_path), "--format", file_format]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) > 8
    written = {path.stem for path in tmp_path.iterdir()}
    assert written >= PICTURES.get(topic, {topic} - {"configs"})
    assert all(path.suffix == f".{file_format}" for path in tmp_path.iterdir())
    assert err.count("saved ") == len(written) > 0
    for path in tmp_path.iterdir():
        head = path.read_bytes()[:200]
        assert head.startswith({"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!DOCTYPE html>"}[file_format])


def test_a_topic_without_matplotlib(
    course: Course, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    command = [*arguments("encoder", course), "--output-dir", str(tmp_path)]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert "OUTPUT (Audio Embeddings)" in out
    assert err == "tiny-audio: error: 'matplotlib' is not installed; run `pip install 'tiny-audio[plots]'`\n"
    assert main([*command, "--no-pictures"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["activations", "--model", "x"], "activations does not take --model"),
        (["data", "--encoder", "x"], "it takes FILE, --model"),
        (["datta"], "invalid choice"),
        (["audio", "--rate", "-3"], "whole number"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_new_projector_of_another_kind_and_rate(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["explore", "projector", str(course.audio), "--model", course.checkpoint, "--no-pictures"]
    assert main([*command, "--projector", "mlp", "--rate", "10"]) == 0
    assert "149 to 15" in capsys.readouterr().out
    assert main([*command, "--projector", "mpl"]) == 1
    assert "Did you mean 'mlp'?" in capsys.readouterr().err


def test_trace_writes_one_page(course: Course, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "new" / "page.html"
    assert main(["trace", str(course.audio), "--model", course.checkpoint, "-o", str(page)]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (f"{page}\n", "")
    assert "3.00 s of sound" in page.read_text(encoding="utf-8")
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]


def test_trace_of_a_part_and_of_a_ctc_recogniser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_encoder(tmp_path / "aut", "aut")
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 160_000), 16_000)
    page = tmp_path / "page.html"
    command = ["trace", str(tmp_path / "a.flac"), "--model", str(folder), "-o", str(page)]
    assert main([*command, "--start", "2", "--duration", "1.5"]) == 0
    assert "2.00 to 3.50 s" in capsys.readouterr().err
    assert re.search(r"1\.50 s of the recording, from 2\.00 s on", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "words", [["nowhere.wav"], ["FILE", "--duration", "99"], ["FILE", "--model", "tiny-audio-bass"]]
)
def test_trace_of_what_cannot_be_is_one_line(
    words: list[str], course: Course, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    named = [str(course.audio) if word == "FILE" else word for word in words]
    assert main(["trace", *named, "-o", str(page)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("tiny-audio: error: ")
    assert "Traceback" not in err
    assert not page.exists()


def test_samples_are_put_where_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["samples"]) == 0
    names = capsys.readouterr().out.split()
    assert "LJ001-0009.flac" in names
    assert all((tmp_path / name).is_file() for name in names)
    (tmp_path / "LJ001-0009.flac").write_bytes(b"mine")
    assert main(["samples"]) == 1
    assert "another file is there" in capsys.readouterr().err
    assert (tmp_path / "LJ001-0009.flac").read_bytes() == b"mine"
