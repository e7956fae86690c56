"""`tiny-audio serve`, as far as it comes without serving."""

import socket
import sys

import pytest

from tiny_audio.cli import main
from tiny_audio.errors import CheckpointError
from tiny_audio.inference.transcriber import Transcriber


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CheckpointError("no checkpoint 'x'")

    monkeypatch.setattr(Transcriber, "from_pretrained", fail)


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("tiny_audio.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)

    assert main(["serve"]) == 1
    assert "run `pip install 'tiny-audio[serve]'`" in capsys.readouterr().err


@pytest.mark.usefixtures("no_model")
def test_a_model_that_cannot_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fastapi")

    assert main(["serve", "--port", "0", "--model", "x"]) == 3
    assert capsys.readouterr() == ("", "tiny-audio: error: no checkpoint 'x'\n")


@pytest.mark.usefixtures("no_model")
def test_an_address_that_is_taken_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fastapi")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for words in (["--port", str(taken.getsockname()[1])], ["--host", "203.0.113.1"], ["--port", "99999"]):
            assert main(["serve", *words]) == 2
            assert capsys.readouterr().err.startswith("tiny-audio serve: error: ")


@pytest.mark.usefixtures("no_model")
def test_an_open_address_without_a_key_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastapi")

    def warns(*words: str) -> bool:
        assert main(["serve", "--port", "0", *words]) == 3
        return "everybody who can reach this address" in capsys.readouterr().err

    assert warns("--host", "0.0.0.0")
    assert not warns("--host", "0.0.0.0", "--api-key", "secret")
    assert not warns("--host", "127.0.0.1")
    monkeypatch.setenv("TINY_AUDIO_API_KEY", "secret")
    assert not warns("--host", "0.0.0.0")
