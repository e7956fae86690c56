"""Transcripts as text, subtitles, tables and JSON, and files of them that are whole or not there at all."""

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tiny_audio import atomic
from tiny_audio.errors import OutputError
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.models.words import Word
from tiny_audio.types import Seconds

MAX_LINE_WIDTH = 42
"""Letters in a line of a subtitle, the custom of broadcasters."""
MAX_LINE_COUNT = 2
MAX_CUE_DURATION: Seconds = 7.0
_CUE_PAUSE: Seconds = 1.0  # of the speaker: a new cue
_SENTENCE_WIDTH = 20  # a sentence that is longer is a cue of its own


@dataclass(frozen=True, kw_only=True)
class Style:
    """How transcripts are written, where a format leaves a choice."""

    json_shape: str = "tiny-audio"
    """One of `JSON_SHAPES`."""
    word_timestamps: bool = False
    """JSON lists the words with their times."""
    timestamps: bool = False
    """Text has a line for each segment, with its times."""
    plain: bool = False
    """Lower case, without punctuation."""


def to_txt(transcript: Transcript, style: Style) -> str:
    """The text on one line, or a line for each segment."""
    if style.timestamps:
        return "".join(timed_line(segment) + "\n" for segment in _spoken(transcript))
    return transcript.text + "\n"


def timed_line(segment: Segment) -> str:
    """`[00:00.000 --> 00:04.000]  text`."""
    return f"[{_span(segment.start, segment.end)}]  {segment.text}"


def to_json(transcript: Transcript, style: Style) -> str:
    """One line of JSON, so that those of several files together are JSON lines."""
    return _json_line(JSON_SHAPES[style.json_shape](transcript, style))


def to_jsonl(transcript: Transcript, style: Style) -> str:
    """A line of JSON for each segment."""
    return "".join(_json_line(_segment_dict(segment, style)) for segment in _spoken(transcript))


def to_srt(transcript: Transcript, style: Style) -> str:
    """SubRip: numbered cues, `HH:MM:SS,mmm`."""
    cues = []
    for number, cue in enumerate(_cues(transcript), start=1):
        start, end = (_clock(time, ",", hours=True) for time in (cue.start, cue.end))
        cues.append(f"{number}\n{start} --> {end}\n{cue.text}\n\n")
    return "".join(cues)


def to_vtt(transcript: Transcript, style: Style) -> str:
    """WebVTT: a header line, `MM:SS.mmm` with hours only where there are any."""
    cues = (f"{_span(cue.start, cue.end)}\n{cue.text}\n\n" for cue in _cues(transcript))
    return "WEBVTT\n\n" + "".join(cues)


def to_lrc(transcript: Transcript, style: Style) -> str:
    """Lyrics: `[MM:SS.cc]text`, as long as there are minutes."""
    lines = []
    for segment in _spoken(transcript):
        minutes, centiseconds = divmod(round(segment.start * 100), 6000)
        lines.append(f"[{minutes:02d}:{centiseconds // 100:02d}.{centiseconds % 100:02d}]{segment.text}\n")
    return "".join(lines)


def to_tsv(transcript: Transcript, style: Style) -> str:
    """Columns start, end and text; whole milliseconds, which no language writes with a comma."""
    rows = (f"{start}\t{end}\t{' '.join(text.split())}\n" for start, end, text in _rows(transcript))
    return "start\tend\ttext\n" + "".join(rows)


def to_csv(transcript: Transcript, style: Style) -> str:
    """The same with commas, and with quotes where they are needed."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([("start", "end", "text"), *_rows(transcript)])
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Transcript, Style], str]] = {
    "txt": to_txt,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
    "json": to_json,
    "jsonl": to_jsonl,
    "csv": to_csv,
    "lrc": to_lrc,
}
"""Format name, which is the file name's suffix too, to its writer."""


def render(transcript: Transcript, output_format: str, style: Style) -> str:
    """The content of a file in one of `FORMATS`."""
    return FORMATS[output_format](transcript.plain() if style.plain else transcript, style)


def write_transcript(transcript: Transcript, path: Path, output_format: str, style: Style | None = None) -> None:
    """Write the transcript in that format; the file is whole or not there at all.

    Raises:
        OutputError: the disk is full, or the like.
    """
    try:
        atomic.write_text(path, render(transcript, output_format, style or Style()))
    except OSError as error:
        raise OutputError(str(path), error.strerror or str(error)) from error


def _own_json(transcript: Transcript, style: Style) -> dict[str, Any]:
    return transcript.to_dict() | {"segments": [_segment_dict(segment, style) for segment in transcript.segments]}


def _whisper_json(transcript: Transcript, style: Style) -> dict[str, Any]:
    """What openai/whisper writes; `seek` and `temperature` mean nothing here, and tokens are another model's."""
    segments: list[dict[str, Any]] = []
    for segment in _spoken(transcript):
        row = {"id": len(segments), "seek": 0, "start": segment.start, "end": segment.end, "text": f" {segment.text}"}
        row |= {"tokens": [], "temperature": 0.0, "avg_logprob": segment.avg_logprob}
        row |= {"compression_ratio": _compression_ratio(segment), "no_speech_prob": segment.no_speech_prob}
        if style.word_timestamps:
            row["words"] = [
                {"word": f" {word.text}", "start": word.start, "end": word.end, "probability": word.confidence}
                for word in segment.words
            ]
        segments.append(row)
    return {"text": transcript.text, "segments": segments, "language": transcript.language}


def _openai_json(transcript: Transcript, style: Style) -> dict[str, Any]:
    """The `verbose_json` of OpenAI's transcription service."""
    whisper = _whisper_json(transcript, Style())
    verbose = {
        "task": "transcribe",
        "language": "english",
        "duration": transcript.duration,
        "text": transcript.text,
        "segments": whisper["segments"],
    }
    if style.word_timestamps:
        verbose["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in transcript.words]
    return verbose


def _hf_json(transcript: Transcript, style: Style) -> dict[str, Any]:
    """What the speech recognition pipeline of transformers returns."""
    pieces: list[Segment] | list[Word] = list(_spoken(transcript))
    if style.word_timestamps:
        pieces = list(transcript.words)
    chunks = [{"text": piece.text, "timestamp": [piece.start, piece.end]} for piece in pieces]
    return {"text": transcript.text, "chunks": chunks}


JSON_SHAPES: dict[str, Callable[[Transcript, Style], dict[str, Any]]] = {
    "tiny-audio": _own_json,
    "whisper": _whisper_json,
    "openai": _openai_json,
    "hf": _hf_json,
}
"""Whose JSON to write."""


def _segment_dict(segment: Segment, style: Style) -> dict[str, Any]:
    row = asdict(segment)
    if not style.word_timestamps:
        del row["words"]
    return row


def _compression_ratio(segment: Segment) -> float:
    from tiny_audio.inference.guards import compression_ratio  # slow: it comes with the normaliser

    return compression_ratio(segment.text)


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _rows(transcript: Transcript) -> Iterator[tuple[int, int, str]]:
    """Start and end in milliseconds, and the text."""
    return ((round(s.start * 1000), round(s.end * 1000), s.text) for s in _spoken(transcript))


def _spoken(transcript: Transcript) -> Iterator[Segment]:
    return (segment for segment in transcript.segments if segment.text)


@dataclass(frozen=True, kw_only=True)
class _Cue:
    """What a subtitle shows at once; the text may have several lines."""

    start: Seconds
    end: Seconds
    text: str


def _cues(transcript: Transcript) -> Iterator[_Cue]:
    """A cue for each segment, or several where the times of its words are known."""
    for segment in _spoken(transcript):
        if not segment.words:
            yield _Cue(start=segment.start, end=segment.end, text=_cue_text(segment.text))
            continue
        words: list[Word] = []
        for word in segment.words:
            if words and not _belongs_to_cue(word, words):
                yield _cue_of(words)
                words = []
            words.append(word)
        yield _cue_of(words)


def _belongs_to_cue(word: Word, words: list[Word]) -> bool:
    text = " ".join(part.text for part in words)
    ends_sentence = text.endswith((".", "?", "!")) and len(text) > _SENTENCE_WIDTH
    return (
        not ends_sentence
        and word.start - words[-1].end < _CUE_PAUSE
        and word.end - words[0].start <= MAX_CUE_DURATION
        and len(textwrap.wrap(f"{text} {word.text}", MAX_LINE_WIDTH)) <= MAX_LINE_COUNT
    )


def _cue_of(words: list[Word]) -> _Cue:
    lines = textwrap.wrap(_cue_text(" ".join(word.text for word in words)), MAX_LINE_WIDTH, break_long_words=False)
    return _Cue(start=words[0].start, end=words[-1].end, text="\n".join(lines))


def _cue_text(text: str) -> str:
    return text.replace("-->", "->")  # players take the arrow for the time line


def _span(start: Seconds, end: Seconds) -> str:
    return " --> ".join(_clock(time, ".", hours=time >= 3600) for time in (start, end))


def _clock(time: Seconds, decimal_mark: str, *, hours: bool) -> str:
    milliseconds = round(time * 1000)  # first, or 59.9996 s becomes 60.000
    minutes, milliseconds = divmod(milliseconds, 60_000)
    seconds = f"{milliseconds // 1000:02d}{decimal_mark}{milliseconds % 1000:03d}"
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds}" if hours else f"{minutes:02d}:{seconds}"
