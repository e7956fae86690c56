"""`tiny-audio listen` from a pipe; only the model is a fake."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fakes import FakeSpeechModel, tone
from tiny_audio.cli import main
from tiny_audio.errors import CheckpointError
from tiny_audio.inference.transcriber import Transcriber

RATE = 16_000


def listen(*words: str) -> int:
    """Exit code of `tiny-audio listen`; silero does not take tones for speech."""
    return main(["listen", "--vad", "energy", *words])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeSpeechModel:
    model = FakeSpeechModel()
    monkeypatch.setattr(Transcriber, "from_pretrained", lambda *_, **__: Transcriber(model))
    return model


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tones with a pause between, 16 bits, and half a sample too many."""
    signal = np.concatenate([tone(duration=2.0, hertz=300), np.zeros(RATE), tone(duration=1.0, hertz=600)])
    data = (signal * (2**15 - 1)).astype("<i2").tobytes() + b"\x01"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.usefixtures("model", "pipe")
def test_each_stretch_of_speech_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert listen("-") == 0

    output = capsys.readouterr()
    assert output.out == "tone300\ntone600\n"
    assert output.err.startswith("2 segments; from the end of speech to its text 0.")


@pytest.mark.usefixtures("model", "pipe")
def test_events_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert listen("-", "--format", "jsonl") == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    finals = [row for row in rows if row["type"] == "final"]
    assert [row["text"] for row in finals] == ["tone300", "tone600"]
    assert finals[1]["start"] == pytest.approx(2.75, abs=0.1)
    assert rows[-1] == finals[-1]


@pytest.mark.usefixtures("pipe")
def test_a_model_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CheckpointError("no checkpoint 'x'")

    monkeypatch.setattr(Transcriber, "from_pretrained", fail)

    assert listen("-", "--model", "x") == 3
    assert capsys.readouterr() == ("", "tiny-audio: error: no checkpoint 'x'\n")


def test_without_the_package_a_microphone_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    assert listen() == 1
    assert capsys.readouterr().err == (
        "tiny-audio: error: 'sounddevice' is not installed; run `pip install 'tiny-audio[mic]'`\n"
    )


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("raise OSError('PortAudio library not found')", "PortAudio library not found; give raw samples on"),
        (
            "class PortAudioError(Exception): ...\n"
            "def InputStream(**_): raise PortAudioError('Error querying device -1')",
            "Error querying device -1; `python -m sounddevice` lists them",
        ),
    ],
    ids=["no library", "no device"],
)
def test_without_library_or_device_a_microphone_is_one_line(
    package: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sounddevice.py").write_text(package)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)

    assert listen() == 1
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    error = capsys.readouterr().err
    assert error.startswith("tiny-audio: error: no microphone: ")
    assert reason in error
    assert error.count("\n") == 1
