"""`tiny-audio demo`, as far as it comes without a page, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_audio.cli import main
from tiny_audio.errors import CheckpointError
from tiny_audio.inference.transcriber import Transcriber

# A model that hears tones instead of the real one, which would take longer.
PROGRAM = """
import sys
from fakes import FakeSpeechModel
from tiny_audio.audio.vad import VadOptions
from tiny_audio.cli import main
from tiny_audio.inference.transcriber import Transcriber

sys.addaudithook(lambda event, args: event == "socket.connect" and print("connects", args[1], flush=True))
Transcriber.from_pretrained = lambda *_, **__: Transcriber(FakeSpeechModel(), vad=VadOptions(kind="energy"))
sys.exit(main(["demo", "--port", "0"]))
"""


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CheckpointError("no checkpoint 'x'")

    monkeypatch.setattr(Transcriber, "from_pretrained", fail)


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("tiny_audio.demo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)

    assert main(["demo"]) == 1
    assert "run `pip install 'tiny-audio[demo]'`" in capsys.readouterr().err


@pytest.mark.usefixtures("no_model")
def test_a_model_that_cannot_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--port", "0", "--model", "x"]) == 3
    assert capsys.readouterr() == ("", "tiny-audio: error: no checkpoint 'x'\n")


@pytest.mark.usefixtures("no_model")
def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for words in (["--port", str(taken.getsockname()[1])], ["--max-upload-mb", "0"], ["--vad-threshold", "2"]):
            assert main(["demo", *words]) == 2
            assert capsys.readouterr().err.startswith("tiny-audio demo: error: ")


@pytest.mark.usefixtures("no_model")
def test_an_open_address_is_warned_about(capsys: pytest.CaptureFixture[str]) -> None:
    for words, warns in ((["--host", "0.0.0.0"], True), (["--share"], True), ([], False)):
        assert main(["demo", "--port", "0", *words]) == 3
        assert ("everybody who can reach this address" in capsys.readouterr().err) == warns


def test_it_asks_nobody_and_leaves_nothing_behind(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(tests)}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stderr
            assert "open http://127.0.0.1:" in demo.stderr.readline()
            assert list(tmp_path.glob("tiny-audio-demo-*/**/*.flac")), "the examples"
            demo.send_signal(signal.SIGTERM)
            stdout, stderr = demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert (demo.returncode, stdout, stderr) == (0, "", "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # importing Gradio makes an empty folder
