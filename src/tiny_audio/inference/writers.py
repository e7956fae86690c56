"""Transcripts as txt, json, srt and vtt, and files of them that are whole or not there at all."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tiny_audio import atomic
from tiny_audio.errors import OutputError
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.types import Seconds


def to_txt(transcript: Transcript) -> str:
    """The text on one line."""
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> str:
    """One line of JSON, so that those of several files together are JSON lines."""
    return json.dumps(transcript.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


def to_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, `HH:MM:SS,mmm`."""
    cues = []
    for number, segment in enumerate(_spoken(transcript), start=1):
        start, end = (_clock(time, ",", hours=True) for time in (segment.start, segment.end))
        cues.append(f"{number}\n{start} --> {end}\n{_cue_text(segment)}\n\n")
    return "".join(cues)


def to_vtt(transcript: Transcript) -> str:
    """WebVTT: a header line, `MM:SS.mmm` with hours only where there are any."""
    cues = ["WEBVTT\n\n"]
    for segment in _spoken(transcript):
        start, end = (_clock(time, ".", hours=time >= 3600) for time in (segment.start, segment.end))
        cues.append(f"{start} --> {end}\n{_cue_text(segment)}\n\n")
    return "".join(cues)


FORMATS: dict[str, Callable[[Transcript], str]] = {"txt": to_txt, "json": to_json, "srt": to_srt, "vtt": to_vtt}
"""Format name, which is the file name's suffix too, to its writer."""


def _spoken(transcript: Transcript) -> Iterator[Segment]:
    return (segment for segment in transcript.segments if segment.text)


def _cue_text(segment: Segment) -> str:
    return segment.text.replace("-->", "->")  # players take the arrow for the time line


def _clock(time: Seconds, decimal_mark: str, *, hours: bool) -> str:
    milliseconds = round(time * 1000)  # first, or 59.9996 s becomes 60.000
    minutes, milliseconds = divmod(milliseconds, 60_000)
    seconds = f"{milliseconds // 1000:02d}{decimal_mark}{milliseconds % 1000:03d}"
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds}" if hours else f"{minutes:02d}:{seconds}"


def plan_outputs(sources: Sequence[str | Path], directory: Path, suffix: str) -> list[Path]:
    """One path in `directory` for each source, all different and none of them a source.

    `talk.wav` becomes `talk.txt`. If another source has the same stem, the suffix stays (`talk.wav.txt`), and if that
    is taken too, a number follows (`talk.wav-2.txt`). Letter case does not make a difference, as on some disks.
    """
    names = ["stdin" if str(source) == "-" else Path(source).name for source in sources]
    stems = [Path(name).stem.casefold() for name in names]
    taken = {str(Path(source).resolve()).casefold() for source in sources}
    outputs = []
    for name, stem in zip(names, stems, strict=True):
        base = name if stems.count(stem) > 1 else Path(name).stem
        output, number = directory / f"{base}.{suffix}", 1
        while str(output.resolve()).casefold() in taken:
            number += 1
            output = directory / f"{base}-{number}.{suffix}"
        taken.add(str(output.resolve()).casefold())
        outputs.append(output)
    return outputs


def make_output_folder(directory: Path) -> None:
    """Make the folder, or find out now, before the long work, that it cannot be written.

    Raises:
        OutputError: it is something else, or there is no permission.
    """
    if directory.exists() and not directory.is_dir():
        raise OutputError(str(directory), "it is a file; expected a folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise OutputError(str(directory), error.strerror or str(error)) from error


def write_transcript(transcript: Transcript, path: Path, output_format: str) -> None:
    """Write the transcript in that format; the file is whole or not there at all.

    Raises:
        OutputError: the disk is full, or the like.
    """
    try:
        atomic.write_text(path, FORMATS[output_format](transcript))
    except OSError as error:
        raise OutputError(str(path), error.strerror or str(error)) from error
