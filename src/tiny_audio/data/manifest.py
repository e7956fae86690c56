"""Manifests: which recording holds which words, one JSON object a line.

    {"id": "a-1", "audio": "audio/a-1.opus", "duration": 3.2, "text": "hello there", "speaker": "ann"}

`audio` is relative to the manifest's own folder, so a folder with its manifest can be moved as one. `speaker`,
`start` (where in the recording the utterance begins, seconds), `language`, `task` and `response` may be left out; keys
that we do not know are kept. This file does not open any audio; `data.corpora` makes manifests of what others wrote.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny_audio import atomic
from tiny_audio.errors import ManifestError
from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One piece of speech and its words.

    Attributes:
        id: Unique within a manifest.
        audio: The recording; absolute after `read_manifest`.
        duration: Seconds of speech from `start` on.
        text: What is said; empty if unknown or if nothing is.
        speaker: Who says it; empty if unknown.
        start: Where in the recording it begins.
        language: Code of the language that is spoken, such as `en`; empty if unknown.
        task: What is asked about it; empty for a transcript.
        response: The right answer to that task, where it is not `text`.
        extra: All other keys of the line, as they came.
    """

    id: str
    audio: Path
    duration: Seconds
    text: str
    speaker: str = ""
    start: Seconds = 0.0
    language: str = ""
    task: str = ""
    response: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


_TEXT_KEYS = ("id", "audio", "text", "speaker", "language", "task", "response")
_SECONDS_KEYS = ("duration", "start")
_OPTIONAL_KEYS = {"speaker": "", "start": 0.0, "language": "", "task": "", "response": ""}
FIELDS = frozenset(_TEXT_KEYS + _SECONDS_KEYS)
"""Keys of a line that have a meaning here; all others are `extra`."""


def read_manifest(path: str | os.PathLike[str]) -> list[Utterance]:
    """Return the utterances of a JSON-lines manifest in file order; blank lines are skipped.

    Raises:
        ManifestError: No such file, not UTF-8, a line that is not a JSON object, a key that is missing or of the wrong
            kind, or an id that occurs twice.
    """
    utterances = []
    for _, utterance in scan_manifest(path):
        if isinstance(utterance, ManifestError):
            raise utterance
        utterances.append(utterance)
    return utterances


def scan_manifest(path: str | os.PathLike[str]) -> Iterator[tuple[int, Utterance | ManifestError]]:
    """The number of each line (from 1) and its utterance, or what is wrong with it; blank lines are skipped.

    Raises:
        ManifestError: No such file.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ManifestError(str(path), None, f"cannot read the manifest: {error.strerror}") from error
    line_of_id: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            utterance = _parse(line, folder=path.parent.absolute())
            if utterance.id in line_of_id:
                raise ValueError(f"id '{utterance.id}' is already used in line {line_of_id[utterance.id]}")
        except ValueError as error:
            yield number, ManifestError(str(path), number, str(error))
            continue
        line_of_id[utterance.id] = number
        yield number, utterance


def write_manifest(path: str | os.PathLike[str], utterances: Iterable[Utterance]) -> None:
    """Write a manifest that `read_manifest` turns back into the same utterances.

    Audio below the manifest's folder is named relative to it, other audio absolutely. The file appears whole or not at
    all; a missing parent folder is made.
    """
    folder = Path(path).parent.absolute()
    rows = (_to_json(utterance, folder) for utterance in utterances)
    atomic.write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def _parse(line: bytes, folder: Path) -> Utterance:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    row = _OPTIONAL_KEYS | row
    known: dict[str, Any] = {}
    for key in _TEXT_KEYS:
        known[key] = _require(row, key)
        if not isinstance(known[key], str):
            raise ValueError(f"field '{key}' must be a string, found {known[key]!r}")
    for key in _SECONDS_KEYS:
        value = _require(row, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"field '{key}' must be seconds (a number of 0 or more), found {value!r}")
        known[key] = float(value)
    for key in ("id", "audio"):
        if not known[key]:
            raise ValueError(f"field '{key}' is empty")
    known["audio"] = folder / known["audio"]
    return Utterance(**known, extra={key: value for key, value in row.items() if key not in known})


def _require(row: dict[str, Any], key: str) -> Any:
    if key not in row:
        raise ValueError(f"field '{key}' is missing; expected id, audio, duration and text in every line")
    return row[key]


def _to_json(utterance: Utterance, folder: Path) -> dict[str, Any]:
    audio = utterance.audio.absolute()
    row: dict[str, Any] = {
        "id": utterance.id,
        "audio": (audio.relative_to(folder) if audio.is_relative_to(folder) else audio).as_posix(),
        "duration": utterance.duration,
        "text": utterance.text,
        "speaker": utterance.speaker,
    }
    rest = {name: getattr(utterance, name) for name in ("start", "language", "task", "response")}
    return row | {name: value for name, value in rest.items() if value} | utterance.extra
