"""`tiny-audio transcribe` from its command line to its exit code; only the model is a fake."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import FakeSpeechModel, encode, tone
from tiny_audio.cli import main
from tiny_audio.errors import CheckpointError
from tiny_audio.inference.transcriber import Transcriber

RATE = 16_000


class Loader:
    """Stands for `Transcriber.from_pretrained`; remembers what was loaded."""

    def __init__(self) -> None:
        self.model = FakeSpeechModel()
        self.loaded: list[object] = []

    def __call__(self, name: object) -> Transcriber:
        self.loaded.append(name)
        return Transcriber(self.model)


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    loader = Loader()
    monkeypatch.setattr(Transcriber, "from_pretrained", loader)
    return loader


@pytest.fixture
def good(tmp_path: Path) -> str:
    return wav(tmp_path / "good.wav", tone(duration=1.0))


def wav(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> str:
    soundfile.write(path, samples, rate, subtype=subtype)
    return str(path)


def mp3() -> bytes:
    return encode(tone(duration=3.0), sample_rate=RATE, container="mp3", codec="libmp3lame")


# Results


def test_the_text_is_on_standard_output_and_all_else_on_standard_error(
    loader: Loader, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", good]) == 0

    output = capsys.readouterr()
    assert output.out == "tone440\n"
    assert output.err.startswith(f"{good}: 1.0 s of audio in ")
    assert loader.loaded == ["tiny-audio-base"]


def test_several_files_give_a_line_each_in_their_order(
    loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [wav(tmp_path / f"{hertz}.wav", tone(duration=1.0, hertz=hertz)) for hertz in (700, 300, 500)]

    assert main(["transcribe", *files]) == 0

    output = capsys.readouterr()
    assert output.out == "tone700\ntone300\ntone500\n"
    assert output.err.splitlines()[-1] == "3 files: 3 done, 0 failed"
    assert len(loader.loaded) == 1


def test_quiet_says_nothing_when_all_is_well(loader: Loader, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", "--quiet", good, good]) == 0

    assert capsys.readouterr().err == ""


def test_options_may_stand_between_files(loader: Loader, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", good, "--quiet", good, "--format", "txt", good]) == 0

    assert capsys.readouterr() == (3 * "tone440\n", "")


def test_after_two_dashes_everything_is_a_file(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wav(tmp_path / "--odd.wav", tone(duration=1.0))

    assert main(["transcribe", "--quiet", "--", "--odd.wav"]) == 0

    assert capsys.readouterr().out == "tone440\n"


def test_json_of_several_files_is_one_line_each(loader: Loader, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", "--format", "json", good, good]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["tone440", "tone440"]
    assert lines[0]["duration"] == 1.0


@pytest.mark.parametrize(("output_format", "begin"), [("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n\n00:00.000")])
def test_subtitles(
    output_format: str, begin: str, loader: Loader, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", good, "--format", output_format]) == 0

    assert capsys.readouterr().out.startswith(begin)


@pytest.mark.parametrize("output_format", ["txt", "json", "srt", "vtt"])
def test_an_output_folder_gets_one_file_for_each_input(
    output_format: str, loader: Loader, good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "out"
    (tmp_path / "other").mkdir()
    same_name = wav(tmp_path / "other" / "good.wav", tone(duration=1.0, hertz=600))

    assert main(["transcribe", good, same_name, "-o", str(folder), "--format", output_format]) == 0

    first, second = folder / f"good.wav.{output_format}", folder / f"good.wav-2.{output_format}"
    assert sorted(folder.iterdir()) == sorted([first, second])
    assert "tone440" in first.read_text(encoding="utf-8")
    assert "tone600" in second.read_text(encoding="utf-8")
    assert capsys.readouterr().out == ""


def test_standard_input(loader: Loader, good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(good).read_bytes())))

    assert main(["transcribe", "-"]) == 0

    assert capsys.readouterr().out == "tone440\n"


def test_silence_gives_an_empty_transcript(loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = wav(tmp_path / "silence.wav", np.zeros(3 * RATE))

    assert main(["transcribe", path]) == 0

    output = capsys.readouterr()
    assert output.out == "\n"
    assert "no speech" in output.err
    assert loader.model.batches == []


@pytest.mark.parametrize(("channels", "rate"), [(8, 16_000), (1, 192_000), (8, 192_000), (1, 8_000)])
def test_many_channels_and_high_rates_are_nothing_special(
    channels: int, rate: int, loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = np.repeat(tone(duration=1.0, sample_rate=rate)[:, None], channels, axis=1)

    assert main(["transcribe", wav(tmp_path / "wide.wav", samples, rate)]) == 0

    assert capsys.readouterr().out == "tone440\n"


def test_audio_longer_than_30_s_is_cut_and_joined(
    loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pause = np.zeros(RATE, np.float32)
    samples = np.concatenate([tone(duration=20.0, hertz=300), pause, tone(duration=20.0, hertz=600)])

    assert main(["transcribe", wav(tmp_path / "long.wav", samples)]) == 0

    assert capsys.readouterr().out == "tone300 tone600\n"


# Bad input: one clear line, exit code 1, the other files still done


def bad_file(kind: str, folder: Path) -> str:
    path = folder / f"{kind.replace(' ', '-')}.wav"
    if kind == "missing":
        pass
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("These are words, not sounds.\n")
    elif kind == "zero bytes":
        path.touch()
    elif kind == "too short":
        wav(path, tone(duration=0.01))
    elif kind == "nan":
        wav(path, np.where(np.arange(RATE) % 2000 == 0, np.nan, tone(duration=1.0)))
    elif kind == "infinite":
        wav(path, np.where(np.arange(RATE) == 5, np.inf, tone(duration=1.0)))
    elif kind == "truncated mp3":
        path = path.with_suffix(".mp3")
        data = mp3()
        path.write_bytes(data[: len(data) // 2])
    elif kind == "no permission":
        wav(path, tone(duration=1.0))
        path.chmod(0)
    return str(path)


BAD = {
    "missing": "no such file",
    "folder": "is a folder, not an audio file",
    "text": "no audio format recognised in it",
    "zero bytes": "is empty (0 bytes)",
    "too short": "0.01 s of audio is too short to hold speech (at least 0.1 s)",
    "nan": "holds 8 NaN or infinite samples",
    "infinite": "holds 1 NaN or infinite samples",
    "truncated mp3": "is cut off or damaged",
    "no permission": "no permission to read it",
}


def refuse_as_the_system_would(kind: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so there the refusal is played."""
    if kind != "no permission" or os.geteuid() != 0:
        return
    original = Path.open

    def open_or_refuse(self: Path, *args: object, **options: object) -> object:
        if str(self) == path:
            raise PermissionError(13, "Permission denied")
        return original(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_or_refuse)


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_file_is_one_line_and_1_and_the_model_is_not_loaded(
    kind: str,
    loader: Loader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = bad_file(kind, tmp_path)
    refuse_as_the_system_would(kind, path, monkeypatch)

    assert main(["transcribe", path]) == 1

    output = capfd.readouterr()  # that of the C libraries too
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("tiny-audio: error: ")
    assert f"'{path}'" in line
    assert BAD[kind] in line
    assert loader.loaded == []


@pytest.mark.parametrize("kind", BAD)
def test_the_other_files_are_still_done(
    kind: str,
    loader: Loader,
    good: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = bad_file(kind, tmp_path)
    refuse_as_the_system_would(kind, path, monkeypatch)
    folder = tmp_path / "out"

    assert main(["transcribe", good, path, good]) == 1
    output = capfd.readouterr()
    assert output.out == "tone440\ntone440\n"
    assert output.err.splitlines()[-1] == "3 files: 2 done, 1 failed"
    assert sum(line.startswith("tiny-audio: error: ") for line in output.err.splitlines()) == 1

    assert main(["transcribe", good, path, "-o", str(folder)]) == 1
    assert [file.name for file in folder.iterdir()] == ["good.txt"]  # nothing half-written for the bad one


def test_all_bad_files_at_once(loader: Loader, good: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = [kind for kind in BAD if kind != "no permission"]

    assert main(["transcribe", *[bad_file(kind, tmp_path) for kind in kinds], good, "--quiet"]) == 1

    output = capfd.readouterr()
    assert output.out == "tone440\n"
    assert len(output.err.splitlines()) == len(kinds)


def test_a_full_disk_fails_that_file_only(
    loader: Loader, good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = wav(tmp_path / "other.wav", tone(duration=1.0))
    (tmp_path / "out" / "good.txt").mkdir(parents=True)  # in the way of the first output

    assert main(["transcribe", good, other, "-o", str(tmp_path / "out"), "--quiet"]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tiny-audio: error: cannot write ")
    assert (tmp_path / "out" / "other.txt").read_text() == "tone440\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.txt", "other.txt"]


def test_an_output_folder_that_is_a_file_is_found_before_the_work(
    loader: Loader, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", good, "-o", good]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "it is a file; expected a folder" in line
    assert loader.loaded == []


def test_a_model_that_cannot_be_loaded_is_one_line(
    good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise CheckpointError("no checkpoint 'x'")

    monkeypatch.setattr(Transcriber, "from_pretrained", fail)

    assert main(["transcribe", good, good, "--model", "x"]) == 1

    assert capsys.readouterr() == ("", "tiny-audio: error: no checkpoint 'x'\n")


def test_ctrl_c_keeps_what_is_done(loader: Loader, good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = wav(tmp_path / "other.wav", tone(duration=2.0))
    hear = loader.model.transcribe_waveforms

    def stop_at_two_seconds(waveforms: list[np.ndarray]) -> object:
        if len(waveforms[0]) == 2 * RATE:
            raise KeyboardInterrupt
        return hear(waveforms)

    monkeypatch.setattr(loader.model, "transcribe_waveforms", stop_at_two_seconds)

    assert main(["transcribe", good, other, "-o", str(tmp_path / "out")]) == 130

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.txt"]


def test_warnings_of_the_library_have_the_form_of_our_errors(
    loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stream.ogg"
    soundfile.write(path, tone(duration=3.0, sample_rate=44_100), 44_100)  # several pages
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])

    assert main(["transcribe", str(path), "--quiet"]) == 0

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tiny-audio: warning: '{path}' has no end mark")


# Wrong usage


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--format", "doc", "a.wav"], "invalid choice: 'doc'"),
        (["--threads", "two", "a.wav"], "found 'two'; expected a whole number"),
        (["--threads", "-1", "a.wav"], "--threads"),
        (["-", "-"], "only once"),
        (["--format", "srt", "a.wav", "b.wav"], "needs -o DIR"),
    ],
)
def test_wrong_usage_is_2(words: list[str], problem: str, loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", *words]) == 2

    output = capsys.readouterr()
    assert output.out == ""
    assert problem in output.err
    assert loader.loaded == []


def test_a_bad_file_is_reported_without_importing_torch() -> None:
    code = (
        "import sys; from tiny_audio.cli import main\n"
        "assert main(['transcribe', 'no-such-file.wav']) == 1\n"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0
