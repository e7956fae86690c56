import json
import os
from pathlib import Path

import numpy as np
import pytest

from tiny_audio.errors import OutputError
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.inference.writers import FORMATS, make_output_folder, plan_outputs, write_transcript

TRANSCRIPT = Transcript(
    text="Grüße, 世界! a --> b",
    duration=3725.5,
    segments=(
        Segment(id=0, start=0.0, end=59.9996, text="Grüße, 世界!", draft="gruse"),
        Segment(id=1, start=59.9996, end=70.0, text="", no_speech=True),
        Segment(id=2, start=70.0, end=3725.5, text="a --> b"),
    ),
)


def test_txt_is_one_line() -> None:
    assert FORMATS["txt"](TRANSCRIPT) == "Grüße, 世界! a --> b\n"


def test_srt() -> None:
    assert FORMATS["srt"](TRANSCRIPT) == (
        "1\n00:00:00,000 --> 00:01:00,000\nGrüße, 世界!\n\n2\n00:01:10,000 --> 01:02:05,500\na -> b\n\n"
    )


def test_vtt() -> None:
    assert FORMATS["vtt"](TRANSCRIPT) == (
        "WEBVTT\n\n00:00.000 --> 01:00.000\nGrüße, 世界!\n\n01:10.000 --> 01:02:05.500\na -> b\n\n"
    )


def test_json_is_one_line_with_the_names_of_whisper() -> None:
    text = FORMATS["json"](TRANSCRIPT)
    data = json.loads(text)

    assert text.count("\n") == 1
    assert "世界" in text
    assert list(data) == ["text", "language", "duration", "segments"]
    assert (data["language"], data["duration"]) == ("en", 3725.5)
    assert data["segments"][1] == {
        "id": 1, "start": 59.9996, "end": 70.0, "text": "", "draft": "", "no_speech": True,
    }  # fmt: skip


def test_json_never_holds_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        FORMATS["json"](Transcript(text="", segments=(), duration=float(np.nan)))


@pytest.mark.parametrize(("output_format", "nothing"), [("txt", "\n"), ("srt", ""), ("vtt", "WEBVTT\n\n")])
def test_silence_has_no_cues(output_format: str, nothing: str) -> None:
    silent = Segment(id=0, start=0.0, end=1.0, text="", no_speech=True)

    assert FORMATS[output_format](Transcript(text="", segments=(silent,), duration=1.0)) == nothing


def test_outputs_are_named_after_their_sources(tmp_path: Path) -> None:
    assert [path.name for path in plan_outputs(["a/talk.wav", "my.day.mp3", "-"], tmp_path, "srt")] == [
        "talk.srt", "my.day.srt", "stdin.srt",
    ]  # fmt: skip


def test_no_two_outputs_share_a_name(tmp_path: Path) -> None:
    sources = ["a/talk.wav", "b/talk.mp3", "c/talk.mp3", "c/TALK.flac", "other.wav", "x/talk.mp3-2.wav"]

    outputs = plan_outputs(sources, tmp_path, "txt")

    assert [path.name for path in outputs] == [
        "talk.wav.txt", "talk.mp3.txt", "talk.mp3-2.txt", "TALK.flac.txt", "other.txt", "talk.mp3-2-2.txt",
    ]  # fmt: skip


def test_an_output_never_overwrites_a_source(tmp_path: Path) -> None:
    (output,) = plan_outputs([tmp_path / "odd.txt"], tmp_path, "txt")

    assert output.name == "odd-2.txt"


def test_a_written_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "talk.srt"
    path.write_text("old")

    write_transcript(TRANSCRIPT, path, "srt")

    assert path.read_bytes() == FORMATS["srt"](TRANSCRIPT).encode("utf-8")  # no \r on any system
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "talk.srt"
    path.write_text("old")

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)

    with pytest.raises(OutputError, match=r"talk\.srt': No space left on device$"):
        write_transcript(TRANSCRIPT, path, "srt")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_output_folder_is_made(tmp_path: Path) -> None:
    make_output_folder(tmp_path / "new" / "folder")

    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    with pytest.raises(OutputError, match="it is a file; expected a folder"):
        make_output_folder(path)
    with pytest.raises(OutputError, match="Not a directory"):
        make_output_folder(path / "below")


def test_an_output_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)

    with pytest.raises(OutputError, match="Permission denied"):
        make_output_folder(tmp_path)
