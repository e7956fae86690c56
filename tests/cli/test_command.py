import argparse
import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

import tiny_audio.cli
from tiny_audio.cli import GROUPS, VERBS, main
from tiny_audio.errors import TinyAudioError


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["transcribe", "--help"], ["data", "--help"], []])
def test_help_and_version_do_not_import_torch(words: list[str]) -> None:
    result = run_python(
        f"import sys; from tiny_audio.cli import main; main({words}); "
        "sys.exit(bool({'torch', 'transformers', 'av', 'soundfile'} & set(sys.modules)))"
    )

    assert result.returncode == 0, result.stderr


def test_python_m_tiny_audio_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tiny_audio", "--version"], capture_output=True, text=True, check=True, timeout=60
    )

    assert result.stdout == f"tiny-audio {tiny_audio.__version__}\n"


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    pages = {}
    for group in ("", *GROUPS):
        assert main([*group.split(), "--help"]) == 0
        pages[group] = " ".join(capsys.readouterr().out.split())  # help lines may be wrapped

    for verb, (_, text) in VERBS.items():
        group, _, name = verb.rpartition(" ")
        assert name in pages[group]
        assert text in pages[group]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_line_in_the_table_is_that_of_the_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, text = VERBS[verb]

    assert text == importlib.import_module(module).HELP
    assert main([*verb.split(), "--help"]) == 0
    assert f"usage: tiny-audio {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["data"], ["data", "fly"], ["--fly"], ["transcribe"], ["transcribe", "--fly", "a.wav"]]
)
def test_wrong_usage_ends_with_2_and_says_why_on_standard_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2

    output = capsys.readouterr()
    assert output.out == ""
    assert "usage: tiny-audio" in output.err


class Verb(SimpleNamespace):
    """A verb whose `run` does what it was given."""

    HELP = "a verb for the test"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...


def run_verb(monkeypatch: pytest.MonkeyPatch, error: BaseException, *options: str) -> int:
    def fail(_: argparse.Namespace) -> int:
        raise error

    monkeypatch.setitem(VERBS, "test", ("test_verb", "a verb for the test"))
    monkeypatch.setitem(sys.modules, "test_verb", Verb(run=fail))  # type: ignore[arg-type]
    return main(["test", *options])


def test_an_error_of_ours_is_one_line_and_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(monkeypatch, TinyAudioError("found that, expected this")) == 1

    assert capsys.readouterr() == ("", "tiny-audio: error: found that, expected this\n")


def test_debug_shows_where_an_error_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(monkeypatch, TinyAudioError("found that"), "--debug") == 1

    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(monkeypatch, KeyboardInterrupt()) == 130

    assert capsys.readouterr() == ("", "tiny-audio: interrupted\n")


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_verb(monkeypatch, ZeroDivisionError())


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback() -> None:
    """As in `tiny-audio transcribe *.wav | head -1`."""
    code = (
        "import sys; from types import SimpleNamespace as N; from tiny_audio.cli import GROUPS, VERBS, main\n"
        "def run(_):\n"
        "    for _ in range(100_000): print('a line')\n"
        "    return 0\n"
        "VERBS['test'] = ('test_verb', ''); "
        "sys.modules['test_verb'] = N(HELP='', add_arguments=lambda parser: None, run=run); sys.exit(main(['test']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1
