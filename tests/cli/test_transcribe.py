"""`tiny-audio transcribe` from its command line to its exit code; only the model is a fake."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile

from fakes import FakeSpeechModel, encode, tone
from tiny_audio.audio.io import CHANNELS
from tiny_audio.cli import main
from tiny_audio.cli import transcribe as cli
from tiny_audio.errors import CheckpointError
from tiny_audio.inference.transcriber import MODES, Transcriber
from tiny_audio.inference.writers import FORMATS

RATE = 16_000


def transcribe(*words: str) -> int:
    """Exit code of `tiny-audio transcribe`; silero does not take tones for speech."""
    return main(["transcribe", "--vad", "energy", *words])


class Loader:
    """Stands for `Transcriber.from_pretrained`; remembers what was loaded."""

    def __init__(self) -> None:
        self.model = FakeSpeechModel()
        self.loaded: list[object] = []

    def __call__(self, name: object, *, mode: str, word_timestamps: bool, **_: object) -> Transcriber:
        self.times_words = word_timestamps
        self.loaded.append((name, mode))
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
    assert transcribe(good) == 0

    output = capsys.readouterr()
    assert output.out == "tone440\n"
    assert output.err.startswith(f"{good}: 1.0 s of audio\n")
    assert loader.loaded == [("tiny-audio-base", "accurate")]


def test_several_files_give_a_line_each_in_their_order(
    loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [wav(tmp_path / f"{hertz}.wav", tone(duration=1.0, hertz=hertz)) for hertz in (700, 300, 500)]

    assert transcribe(*files) == 0

    output = capsys.readouterr()
    assert output.out == "tone700\ntone300\ntone500\n"
    assert output.err.splitlines()[-1].startswith("3 files: 3 done, 0 failed; 3.0 s of audio, ")
    assert len(loader.loaded) == 1


def test_quiet_says_nothing_when_all_is_well(loader: Loader, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--quiet", good, good) == 0

    assert capsys.readouterr().err == ""


def test_options_may_stand_between_files(loader: Loader, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(good, "--quiet", good, "--format", "txt", good) == 0

    assert capsys.readouterr() == (3 * "tone440\n", "")


def test_after_two_dashes_everything_is_a_file(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wav(tmp_path / "--odd.wav", tone(duration=1.0))

    assert transcribe("--quiet", "--", "--odd.wav") == 0

    assert capsys.readouterr().out == "tone440\n"


def test_json_of_several_files_is_one_line_each(loader: Loader, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--format", "json", good, good) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["tone440", "tone440"]
    assert lines[0]["duration"] == 1.0


@pytest.mark.parametrize(("output_format", "begin"), [("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n\n00:00.000")])
def test_subtitles(
    output_format: str, begin: str, loader: Loader, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transcribe(good, "--format", output_format) == 0

    assert capsys.readouterr().out.startswith(begin)


@pytest.mark.parametrize("output_format", ["txt", "json", "srt", "lrc"])
def test_an_output_folder_gets_one_file_for_each_input(
    output_format: str, loader: Loader, good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "out"
    (tmp_path / "other").mkdir()
    same_name = wav(tmp_path / "other" / "good.wav", tone(duration=1.0, hertz=600))

    assert transcribe(good, same_name, "-o", str(folder), "--format", output_format) == 0

    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert len(texts) == 2
    assert all(name.startswith("good.wav-") and name.endswith(f".{output_format}") for name in texts)
    assert sorted("tone440" in text for text in texts.values()) == [False, True]
    assert capsys.readouterr().out == ""


def test_standard_input(loader: Loader, good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(good).read_bytes())))

    assert transcribe("-") == 0

    assert capsys.readouterr().out == "tone440\n"


def test_silence_gives_an_empty_transcript(loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = wav(tmp_path / "silence.wav", np.zeros(3 * RATE))

    assert transcribe(path) == 0

    output = capsys.readouterr()
    assert output.out == "\n"
    assert "no speech" in output.err
    assert loader.model.batches == []


@pytest.mark.parametrize(("channels", "rate"), [(8, 16_000), (1, 192_000), (8, 192_000), (1, 8_000)])
def test_many_channels_and_high_rates_are_nothing_special(
    channels: int, rate: int, loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = np.repeat(tone(duration=1.0, sample_rate=rate)[:, None], channels, axis=1)

    assert transcribe(wav(tmp_path / "wide.wav", samples, rate)) == 0

    assert capsys.readouterr().out == "tone440\n"


def test_audio_longer_than_a_chunk_is_cut_and_joined(
    loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pause = np.zeros(RATE, np.float32)
    samples = np.concatenate([tone(duration=12.0, hertz=300), pause, tone(duration=12.0, hertz=600)])

    assert transcribe(wav(tmp_path / "long.wav", samples)) == 0

    assert capsys.readouterr().out == "tone300 tone600\n"


# Damaged and odd audio is transcribed as far as it goes


@pytest.mark.parametrize(
    ("kind", "warning"),
    [
        ("nan", "holds 8 NaN or infinite samples"),
        ("infinite", "holds 1 NaN or infinite samples"),
        ("cut mp3", "is cut off or damaged: 1.5 s of audio, but its header promises 3.0 s"),
        ("cut wav", "is cut off or damaged: 1.5 s of audio, but its header promises 3.0 s"),
        ("opposite channels", "the channels of"),
    ],
)
def test_damaged_audio_is_a_warning(
    kind: str, warning: str, loader: Loader, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "damaged.wav"
    samples = tone(duration=3.0)
    if kind == "nan":
        wav(path, np.where(np.arange(len(samples)) % 6000 == 0, np.nan, samples))
    elif kind == "infinite":
        wav(path, np.where(np.arange(len(samples)) == 5, np.inf, samples))
    elif kind == "cut mp3":
        path = path.with_suffix(".mp3")
        data = mp3()
        path.write_bytes(data[: len(data) // 2])
    elif kind == "cut wav":
        wav(path, samples, subtype="PCM_16")
        path.write_bytes(path.read_bytes()[: 44 + len(samples)])
    else:
        wav(path, np.stack([samples, -samples], axis=1))

    assert transcribe(str(path), "--quiet") == 0

    output = capfd.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith("tiny-audio: warning: ")
    assert str(path) in line
    assert warning in line
    assert output.out == "tone440\n"


@pytest.mark.parametrize("num_samples", [0, 1, 300, 1599])
def test_audio_without_room_for_a_word_is_an_empty_text(
    num_samples: int, loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = wav(tmp_path / "short.wav", tone(duration=1.0)[:num_samples])

    assert transcribe(path, "--format", "json") == 0

    output = capsys.readouterr()
    row = json.loads(output.out)
    assert (row["text"], row["no_speech"], row["duration"]) == ("", True, num_samples / RATE)
    assert "no speech" in output.err
    assert loader.loaded == []


def test_a_channel_can_be_chosen(loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = tone(duration=1.0, hertz=300), tone(duration=1.0, hertz=600)
    path = wav(tmp_path / "stereo.wav", np.stack([left, right], axis=1))

    assert transcribe(path, "--channel", "left", "--quiet") == 0
    assert transcribe(path, "--channel", "right", "--quiet") == 0

    assert capsys.readouterr().out == "tone300\ntone600\n"


def test_loud_samples_are_clipped(loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(wav(tmp_path / "loud.wav", 9 * tone(duration=1.0)), "--quiet") == 0

    assert capsys.readouterr() == ("tone440\n", "")


# Many inputs, many outputs


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Seven recordings of different length and pitch, in folders."""
    folder = tmp_path / "corpus"
    for number in range(7):
        path = folder / f"speaker{number % 2}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wav(path, tone(duration=0.5 + number, hertz=300 + 100 * number))
    return folder


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in files}


def test_a_folder_is_done_below_and_keeps_its_tree(loader: Loader, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert transcribe(str(corpus), "--recursive", "-o", str(out), "--format", "txt,srt", "--format", "json") == 0

    written = tree(out)
    assert len(written) == 21
    assert written["speaker1/3.txt"] == "tone600\n"
    assert json.loads(written["speaker0/6.json"])["duration"] == 6.5


def test_all_formats(loader: Loader, good: str, tmp_path: Path) -> None:
    assert transcribe(good, "-f", "all", "-o", str(tmp_path / "out"), "--json-shape", "whisper") == 0

    written = tree(tmp_path / "out")
    assert sorted(written) == sorted(f"good.{kind}" for kind in FORMATS)
    assert json.loads(written["good.json"])["language"] == "en"


@pytest.mark.parametrize("num_shards", [1, 2, 3, 9])
@pytest.mark.parametrize("batch_seconds", ["0.5", "6", "1000"])
def test_shards_and_batches_make_no_difference(
    num_shards: int, batch_seconds: str, loader: Loader, corpus: Path, tmp_path: Path
) -> None:
    words = [str(corpus), "--recursive", "-f", "json", "--batch-seconds", batch_seconds, "--quiet"]
    assert transcribe(str(corpus), "--recursive", "-f", "json", "-o", str(tmp_path / "expected"), "--quiet") == 0

    for shard in range(num_shards):
        assert transcribe(*words, "--shard", f"{shard + 1}/{num_shards}", "-o", str(tmp_path / "out")) == 0

    assert tree(tmp_path / "out") == tree(tmp_path / "expected")


def test_what_is_there_can_be_skipped(
    loader: Loader, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "speaker0").mkdir(parents=True)
    (out / "speaker0" / "2.txt").write_text("mine")
    words = [str(corpus), "--recursive", "-o", str(out)]

    assert transcribe(*words, "--skip-existing") == 0
    assert tree(out)["speaker0/2.txt"] == "mine"
    assert ": 6 done, 0 failed, 1 skipped; " in capsys.readouterr().err.splitlines()[-1]

    loader.loaded.clear()
    assert transcribe(*words, "--skip-existing") == 0
    assert loader.loaded == []

    assert transcribe(*words) == 0
    assert tree(out)["speaker0/2.txt"] == "tone500\n"


def test_lists_and_manifests(loader: Loader, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text(f"{corpus}/speaker1/*.wav\n")
    (corpus / "manifest.jsonl").write_text('{"audio": "speaker0/0.wav"}\n{"audio": "speaker0/4.wav"}\n')

    assert transcribe(f"@{tmp_path}/list.txt", str(corpus / "manifest.jsonl"), "--quiet") == 0

    assert capsys.readouterr().out.split() == ["tone400", "tone600", "tone800", "tone300", "tone700"]


@pytest.mark.parametrize(("sample_format", "scale", "dtype"), [("s16le", 2**15 - 1, "<i2"), ("f32le", 1, "<f4")])
def test_raw_samples_on_standard_input(
    sample_format: str,
    scale: int,
    dtype: str,
    loader: Loader,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = (tone(duration=1.0, sample_rate=8_000) * scale).astype(dtype).tobytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data + b"\x01")))

    assert transcribe("-", "--stdin-format", sample_format, "--rate", "8000", "--format", "json") == 0

    row = json.loads(capsys.readouterr().out)
    assert (row["text"], row["duration"]) == ("tone440", 1.0)


def test_lines_with_times(loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pause = np.zeros(10 * RATE, np.float32)
    samples = np.concatenate([tone(duration=2.0, hertz=300), pause, tone(duration=2.0, hertz=600)])

    assert transcribe(wav(tmp_path / "two.wav", samples), "--timestamps") == 0

    first, second = capsys.readouterr().out.splitlines()
    assert (first[:17], first[-7:]) == ("[00:00.000 --> 00", "tone300")
    assert (second[:6], second[-7:]) == ("[00:11", "tone600")


def test_progress_as_json(loader: Loader, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(good, "missing.wav", "--progress", "json") == 1

    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    done, failed, summary = (json.loads(line) for line in lines)
    assert (done["event"], done["source"], done["status"], done["duration"]) == ("file", good, "done", 1.0)
    assert (failed["source"], failed["status"]) == ("missing.wav", "failed")
    assert (summary["event"], summary["done"], summary["failed"], summary["audio_seconds"]) == ("summary", 1, 1, 1.0)


def test_progress_on_a_terminal_leaves_the_results_alone(
    loader: Loader, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tiny_audio.cli.job_report._DRAW_INTERVAL", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    assert transcribe(str(corpus), "--recursive") == 0

    output = capsys.readouterr()
    assert output.out.split() == [f"tone{300 + 100 * number}" for number in (0, 2, 4, 6, 1, 3, 5)]
    assert "4/7 files, 0:00:14 of audio, " in output.err
    assert " left" in output.err


def test_the_options_offer_what_there_is() -> None:
    from tiny_audio.inference.recognizer import DType  # imports torch

    assert cli.CHANNELS == CHANNELS
    assert cli.MODES == MODES
    assert get_args(DType) == cli.DTYPES


def test_mode_reaches_the_model(loader: Loader, good: str) -> None:
    assert transcribe(good, "--mode", "fast", "--model", "mine") == 0

    assert loader.loaded == [("mine", "fast")]


@pytest.mark.parametrize(
    ("words", "times_words"), [([], False), (["-f", "srt"], True), (["-f", "json", "--word-timestamps"], True)]
)
def test_words_are_timed_only_where_they_are_needed(
    words: list[str], times_words: bool, loader: Loader, good: str
) -> None:
    assert transcribe(good, *words) == 0

    assert loader.times_words == times_words


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
    elif kind == "header only":
        path = path.with_suffix(".mp3")
        path.write_bytes(mp3()[:200])
    elif kind == "no permission":
        wav(path, tone(duration=1.0))
        path.chmod(0)
    return str(path)


BAD = {
    "missing": "no such file",
    "folder": "is a folder, not an audio file",
    "text": "no audio format recognised in it",
    "zero bytes": "is empty (0 bytes)",
    "header only": "nothing in it can be decoded",
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

    assert transcribe(path) == 1

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

    assert transcribe(good, path, good) == 1
    output = capfd.readouterr()
    assert output.out == "tone440\ntone440\n"
    assert output.err.splitlines()[-1].startswith("3 files: 2 done, 1 failed; ")
    assert sum(line.startswith("tiny-audio: error: ") for line in output.err.splitlines()) == 1

    assert transcribe(good, path, "-o", str(folder)) == 1
    assert [file.name for file in folder.iterdir()] == ["good.txt"]  # nothing half-written for the bad one


def test_all_bad_files_at_once(loader: Loader, good: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = [kind for kind in BAD if kind != "no permission"]

    assert transcribe(*[bad_file(kind, tmp_path) for kind in kinds], good, "--quiet") == 1

    output = capfd.readouterr()
    assert output.out == "tone440\n"
    assert len(output.err.splitlines()) == len(kinds)


def test_a_full_disk_fails_that_file_only(
    loader: Loader, good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = wav(tmp_path / "other.wav", tone(duration=1.0))
    (tmp_path / "out" / "good.txt").mkdir(parents=True)  # in the way of the first output

    assert transcribe(good, other, "-o", str(tmp_path / "out"), "--quiet") == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tiny-audio: error: cannot write ")
    assert (tmp_path / "out" / "other.txt").read_text() == "tone440\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.txt", "other.txt"]


def test_an_output_folder_that_is_a_file_is_found_before_the_work(
    loader: Loader, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transcribe(good, "-o", good) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "it is a file; expected a folder" in line
    assert loader.loaded == []


def test_a_model_that_cannot_be_loaded_is_one_line(
    good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object, **__: object) -> None:
        raise CheckpointError("no checkpoint 'x'")

    monkeypatch.setattr(Transcriber, "from_pretrained", fail)

    assert transcribe(good, good, "--model", "x", "--quiet") == 3

    assert capsys.readouterr() == ("", "tiny-audio: error: no checkpoint 'x'\n")


def test_ctrl_c_keeps_what_is_done(loader: Loader, good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = wav(tmp_path / "other.wav", tone(duration=2.0))
    hear = loader.model.transcribe_waveforms

    def stop_at_two_seconds(waveforms: list[np.ndarray]) -> object:
        if len(waveforms[0]) == 2 * RATE:
            raise KeyboardInterrupt
        return hear(waveforms)

    monkeypatch.setattr(loader.model, "transcribe_waveforms", stop_at_two_seconds)

    assert transcribe(good, other, "-o", str(tmp_path / "out"), "--batch-seconds", "0.1") == 130

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.txt"]


def test_warnings_of_the_library_have_the_form_of_our_errors(
    loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stream.ogg"
    soundfile.write(path, tone(duration=3.0, sample_rate=44_100), 44_100)  # several pages
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])

    assert transcribe(str(path), "--quiet") == 0

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
        (["--format", "txt,srt", "a.wav"], "needs -o DIR"),
        (["--skip-existing", "a.wav"], "needs -o DIR"),
        (["--skip-existing", "--overwrite", "a.wav"], "not allowed with"),
        (["--shard", "3/2", "a.wav"], "expected i/n with i from 1 to n"),
        (["--language", "de", "a.wav"], "knows English (en) only"),
        (["--rate", "8000", "a.wav"], "--rate is for --stdin-format"),
        (["--batch-seconds", "0", "a.wav"], "a number of seconds above 0"),
        (["--vad-threshold", "1.5", "a.wav"], "vad threshold 1.5; expected a number between 0 and 1"),
        (["--mode", "slow", "a.wav"], "invalid choice: 'slow'"),
    ],
)
def test_wrong_usage_is_2(words: list[str], problem: str, loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe(*words) == 2

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
