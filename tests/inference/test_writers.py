import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tiny_audio.errors import OutputError
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.inference.writers import FORMATS, JSON_SHAPES, MAX_LINE_WIDTH, Style, render, write_transcript
from tiny_audio.models.words import Word

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
    assert FORMATS["txt"](TRANSCRIPT, Style()) == "Grüße, 世界! a --> b\n"


def test_srt() -> None:
    assert FORMATS["srt"](TRANSCRIPT, Style()) == (
        "1\n00:00:00,000 --> 00:01:00,000\nGrüße, 世界!\n\n2\n00:01:10,000 --> 01:02:05,500\na -> b\n\n"
    )


@pytest.mark.parametrize("name", FORMATS)
def test_plain_text_holds_in_every_format(name: str, tmp_path: Path) -> None:
    words = tuple(Word(text=text, start=0.0, end=1.0, confidence=1.0) for text in ("--", "Oh,", "IT'S"))
    segment = Segment(id=0, start=0.0, end=2.0, text="-- Oh, IT'S!", draft="OH", words=words)
    transcript = Transcript(text="-- Oh, IT'S!", segments=(segment,), duration=2.0)
    style = Style(plain=True, word_timestamps=True)
    text = render(transcript, name, style)
    assert "oh it's" in text
    assert "OH" not in text
    assert "Oh" not in text
    if name == "json":
        assert [word["text"] for word in json.loads(text)["segments"][0]["words"]] == ["oh", "it's"]
    write_transcript(transcript, tmp_path / "file", name, style)
    assert (tmp_path / "file").read_text() == text


def test_vtt() -> None:
    assert FORMATS["vtt"](TRANSCRIPT, Style()) == (
        "WEBVTT\n\n00:00.000 --> 01:00.000\nGrüße, 世界!\n\n01:10.000 --> 01:02:05.500\na -> b\n\n"
    )


def test_json_is_one_line_with_the_names_of_whisper() -> None:
    text = FORMATS["json"](TRANSCRIPT, Style())
    data = json.loads(text)

    assert text.count("\n") == 1
    assert "世界" in text
    assert list(data) == ["text", "language", "duration", "no_speech", "warnings", "segments"]
    assert (data["language"], data["duration"]) == ("en", 3725.5)
    assert data["segments"][1] == {
        "id": 1, "start": 59.9996, "end": 70.0, "text": "", "draft": "", "no_speech": True,
        "avg_logprob": None, "no_speech_prob": None, "flagged": False,
    }  # fmt: skip


def test_json_never_holds_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        FORMATS["json"](Transcript(text="", segments=(), duration=float(np.nan)), Style())


@pytest.mark.parametrize(
    ("output_format", "nothing"),
    [
        ("txt", "\n"),
        ("srt", ""),
        ("vtt", "WEBVTT\n\n"),
        ("lrc", ""),
        ("jsonl", ""),
        ("tsv", "start\tend\ttext\n"),
        ("csv", "start,end,text\n"),
    ],
)
def test_silence_has_no_cues(output_format: str, nothing: str) -> None:
    silent = Segment(id=0, start=0.0, end=1.0, text="", no_speech=True)

    assert FORMATS[output_format](Transcript(text="", segments=(silent,), duration=1.0), Style()) == nothing


def test_a_written_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "talk.srt"
    path.write_text("old")

    write_transcript(TRANSCRIPT, path, "srt")

    assert path.read_bytes() == FORMATS["srt"](TRANSCRIPT, Style()).encode("utf-8")  # no \r on any system
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


# Tables, lyrics, lines


def test_tables_have_whole_milliseconds() -> None:
    assert FORMATS["tsv"](TRANSCRIPT, Style()) == (
        "start\tend\ttext\n0\t60000\tGrüße, 世界!\n70000\t3725500\ta --> b\n"
    )
    rows = list(csv.reader(io.StringIO(FORMATS["csv"](TRANSCRIPT, Style()))))
    assert rows == [["start", "end", "text"], ["0", "60000", "Grüße, 世界!"], ["70000", "3725500", "a --> b"]]


def test_lyrics() -> None:
    assert FORMATS["lrc"](TRANSCRIPT, Style()) == "[00:00.00]Grüße, 世界!\n[01:10.00]a --> b\n"


def test_json_lines_are_the_segments_with_speech() -> None:
    rows = [json.loads(line) for line in FORMATS["jsonl"](TRANSCRIPT, Style()).splitlines()]

    assert [(row["start"], row["text"]) for row in rows] == [(0.0, "Grüße, 世界!"), (70.0, "a --> b")]


def test_text_with_times() -> None:
    assert FORMATS["txt"](TRANSCRIPT, Style(timestamps=True)) == (
        "[00:00.000 --> 01:00.000]  Grüße, 世界!\n[01:10.000 --> 01:02:05.500]  a --> b\n"
    )


# JSON of others


WORDS = tuple(Word(text=text, start=i / 2, end=i / 2 + 0.4, confidence=0.5) for i, text in enumerate(["one", "two"]))
TIMED = Transcript(
    text="one two",
    duration=2.0,
    segments=(Segment(id=3, start=0.0, end=1.5, text="one two", words=WORDS, avg_logprob=-0.5, no_speech_prob=0.1),),
)


@pytest.mark.parametrize("shape", JSON_SHAPES)
def test_every_json_is_one_line_with_the_text(shape: str) -> None:
    for transcript in (TIMED, TRANSCRIPT):
        text = FORMATS["json"](transcript, Style(json_shape=shape, word_timestamps=True))
        assert text.count("\n") == 1
        assert json.loads(text)["text"] == transcript.text


def test_json_as_whisper_writes_it() -> None:
    data = json.loads(FORMATS["json"](TIMED, Style(json_shape="whisper", word_timestamps=True)))

    assert list(data) == ["text", "segments", "language"]
    (segment,) = data["segments"]
    assert list(segment) == [
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
        "no_speech_prob", "words",
    ]  # fmt: skip
    assert (segment["id"], segment["text"], segment["avg_logprob"]) == (0, " one two", -0.5)
    assert 0.3 < segment["compression_ratio"] < 1.0
    assert segment["words"][1] == {"word": " two", "start": 0.5, "end": 0.9, "probability": 0.5}


def test_json_as_openai_s_service_sends_it() -> None:
    data = json.loads(FORMATS["json"](TIMED, Style(json_shape="openai", word_timestamps=True)))

    assert (data["task"], data["language"], data["duration"]) == ("transcribe", "english", 2.0)
    assert data["words"] == [{"word": "one", "start": 0.0, "end": 0.4}, {"word": "two", "start": 0.5, "end": 0.9}]
    assert data["segments"][0]["text"] == " one two"


def test_json_as_transformers_returns_it() -> None:
    assert json.loads(FORMATS["json"](TIMED, Style(json_shape="hf"))) == {
        "text": "one two", "chunks": [{"text": "one two", "timestamp": [0.0, 1.5]}],
    }  # fmt: skip
    timed = json.loads(FORMATS["json"](TIMED, Style(json_shape="hf", word_timestamps=True)))
    assert timed["chunks"][1] == {"text": "two", "timestamp": [0.5, 0.9]}


def test_words_are_listed_only_if_asked_for() -> None:
    for shape in JSON_SHAPES:
        assert "words" not in FORMATS["json"](TIMED, Style(json_shape=shape))
    own = json.loads(FORMATS["json"](TIMED, Style(word_timestamps=True)))
    assert own["segments"][0]["words"][0] == {"text": "one", "start": 0.0, "end": 0.4, "confidence": 0.5}


# Cues from words


def test_a_long_segment_with_word_times_becomes_readable_cues() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abc"), rng.integers(1, 12))) + ("." if i % 11 == 10 else "") for i in range(80)]
    starts = np.cumsum(rng.uniform(0.2, 0.5, size=80) + (np.arange(80) % 30 == 29) * 2.0)
    words = tuple(
        Word(text=text, start=float(start), end=float(start) + 0.2, confidence=1.0)
        for text, start in zip(texts, starts, strict=True)
    )
    segment = Segment(id=0, start=0.0, end=words[-1].end, text=" ".join(texts), words=words)

    subtitles = FORMATS["srt"](Transcript(text=segment.text, segments=(segment,), duration=60.0), Style())

    cues = [cue.split("\n") for cue in subtitles.strip().split("\n\n")]
    assert " ".join(line for cue in cues for line in cue[2:]) == segment.text
    assert all(len(line) <= MAX_LINE_WIDTH for cue in cues for line in cue[2:])
    assert all(len(cue) <= 4 for cue in cues)
    times = [[_seconds(time) for time in cue[1].split(" --> ")] for cue in cues]
    assert all(end - start <= 7.0 for start, end in times)
    assert [start for start, _ in times] == sorted(start for start, _ in times)
    assert len(cues) > 8


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
