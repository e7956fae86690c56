"""Tables of utterances: which column holds what, under any of the names that corpora give it."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tiny_audio.data.corpora.corpus import EmbeddedAudio, Entry, Skipped, squeeze
from tiny_audio.data.manifest import FIELDS
from tiny_audio.errors import DatasetError, UnknownNameError

COLUMNS: dict[str, tuple[str, ...]] = {
    "audio": tuple("audio audio_filepath audio_path file_name filename file path wav wav_filename source".split()),
    "text": tuple("text sentence transcription transcript normalized_text target".split()),
    "id": tuple("id utt_id utterance_id segment_id audio_id key".split()),
    "speaker": tuple("speaker speaker_id spk_id client_id".split()),
    "start": ("start", "offset"),
    "duration": ("duration",),
    "language": ("language", "lang", "locale"),
    "task": ("task",),
    "response": ("response",),
}
"""Our name of a field -> names of its column, the surest first; case does not matter."""


def find_columns(names: Iterable[str], given: Mapping[str, str], *, where: str) -> dict[str, str]:
    """Our name of each field that a table has -> name of its column.

    Args:
        names: of all columns.
        given: fields whose column the user names.
        where: the table, for messages.

    Raises:
        DatasetError: no column for the audio or the text, or none of a given name.
        UnknownNameError: a given field that utterances do not have.
    """
    names = list(names)
    by_lower = {name.lower(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for name, column in given.items():
        if name not in COLUMNS:
            raise UnknownNameError("field", name, COLUMNS)
        if column not in names:
            raise DatasetError(f"{where} has columns {', '.join(names)}; expected '{column}' for the {name}")
    for name, known in COLUMNS.items():
        usual = (by_lower[one] for one in known if one in by_lower)
        if chosen := given.get(name) or next(usual, ""):
            found[name] = chosen
    for name in ("audio", "text"):
        if name not in found:
            raise DatasetError(
                f"{where} has columns {', '.join(names)}; expected one for the {name} ({', '.join(COLUMNS[name])}): "
                f"name it with --column {name}=NAME"
            )
    return found


def has_columns(names: Iterable[str]) -> bool:
    """Whether a table with these columns can be one of utterances."""
    lower = {name.lower() for name in names}
    return not lower.isdisjoint(COLUMNS["audio"]) and not lower.isdisjoint(COLUMNS["text"])


def entry_of(row: Mapping[str, Any], columns: Mapping[str, str], *, folder: Path, where: str) -> Entry | Skipped:
    """One row of a table; audio named by a relative path lies relative to `folder`."""
    audio = row.get(columns["audio"])
    if isinstance(audio, Mapping):
        data, name = audio.get("bytes"), audio.get("path") or ""
        audio = EmbeddedAudio(data=data, name=name) if data is not None else name
    if isinstance(audio, str) and audio:
        audio = folder / audio
    if not isinstance(audio, Path | EmbeddedAudio):
        return Skipped(where=where, reason=f"no audio in column '{columns['audio']}'")
    values = {name: row.get(column) for name, column in columns.items() if name != "audio"}
    fields: dict[str, Any] = {name: _text(value) for name, value in values.items()}
    for name in ("start", "duration"):
        # Audio inside a table was cut already: its times are those of a recording that is not here.
        value = None if isinstance(audio, EmbeddedAudio) else fields.get(name)
        try:
            fields[name] = _seconds(value) if value else None
        except ValueError:
            return Skipped(where=where, reason=f"{name} is '{value}'; expected seconds, a number of 0 or more")
    used = {*columns.values(), *FIELDS}
    extra = {name: _plain(value) for name, value in row.items() if name not in used}
    kept = {name: value for name, value in extra.items() if value not in (None, "")}
    return Entry(where=where, audio=audio, extra=kept, **fields | {"start": fields["start"] or 0.0})


def _text(value: Any) -> str:
    return "" if value is None else squeeze(str(value))


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError
    return value


def _plain(value: Any) -> Any:
    """A value that JSON can hold; None where there is none."""
    if isinstance(value, bytes):
        return None
    try:
        return json.loads(json.dumps(value, default=str, allow_nan=False))
    except ValueError:  # not a number
        return None
