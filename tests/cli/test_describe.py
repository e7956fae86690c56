"""`tiny-audio describe`: a line for each recording, from a model that was taught to describe."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import FakeSpeechModel
from tiny_audio.cli import main
from tiny_audio.errors import PromptError
from tiny_audio.inference.transcriber import Transcriber


class Describer(FakeSpeechModel):
    """Says how long each recording is, and knows one task."""

    def answer_waveforms(self, waveforms, task: str) -> list[str]:
        if task != "describe":
            raise PromptError(f"this model was trained to transcribe, describe, not to '{task}'")
        return [f"{len(waveform) / 16_000:g} s" for waveform in waveforms]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Transcriber, "from_pretrained", lambda *_: Transcriber(Describer()))
    for name, duration in (("a", 0.5), ("b", 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(round(duration * 16_000), 0.1), 16_000)
    return tmp_path


def test_a_line_for_each_recording_and_a_bad_one_stops_no_other(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["describe", str(folder / "b.wav")]) == 0
    assert capsys.readouterr().out == "1 s\n"

    (folder / "aa.wav").write_bytes(b"no audio")
    assert main(["describe", str(folder)]) == 1
    output = capsys.readouterr()
    assert output.out == f"{folder / 'a.wav'}\t0.5 s\n{folder / 'b.wav'}\t1 s\n"
    assert "aa.wav" in output.err


def test_a_task_that_was_not_taught_is_refused_by_name(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["describe", str(folder), "--task", "emotion"]) == 1
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert "not to 'emotion'" in output.err
