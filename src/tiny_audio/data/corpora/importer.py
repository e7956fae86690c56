"""A corpus of any format to utterances: ids made unique, missing durations measured, what cannot be used counted."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tiny_audio.audio.io import open_audio
from tiny_audio.data.corpora.audio_folder import AUDIO_FOLDER
from tiny_audio.data.corpora.common_voice import COMMON_VOICE
from tiny_audio.data.corpora.corpus import CorpusFormat, EmbeddedAudio, Entries, Entry, ReadOptions, Skipped, is_audio
from tiny_audio.data.corpora.hub import HUB
from tiny_audio.data.corpora.kaldi import KALDI
from tiny_audio.data.corpora.lhotse import LHOTSE
from tiny_audio.data.corpora.librispeech import LIBRISPEECH
from tiny_audio.data.corpora.ljspeech import LJSPEECH
from tiny_audio.data.corpora.nemo import NEMO
from tiny_audio.data.corpora.pairs import PAIRS
from tiny_audio.data.corpora.parquet import PARQUET
from tiny_audio.data.corpora.table import TABLE
from tiny_audio.data.corpora.webdataset import WEBDATASET
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.tar_members import open_recording, split_member
from tiny_audio.errors import AudioError, DatasetError, UnknownNameError
from tiny_audio.types import Seconds

FORMATS: dict[str, CorpusFormat] = {
    one.name: one
    for one in (
        # In this order they are tried: those that look like another one come before it.
        HUB,
        LHOTSE,
        NEMO,
        KALDI,
        COMMON_VOICE,
        LJSPEECH,
        AUDIO_FOLDER,
        TABLE,
        PARQUET,
        WEBDATASET,
        LIBRISPEECH,
        PAIRS,
    )
}
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What became of the utterances of a corpus."""

    utterances: list[Utterance]
    skipped: list[Skipped]
    renamed: int
    """Utterances whose id was taken already and got a number."""


def open_corpus(path: Path, *, format_name: str = AUTO, options: ReadOptions | None = None) -> Entries:
    """The entries of a corpus, in its order.

    Args:
        path: file, folder, or `hf:OWNER/NAME`.
        format_name: one of `FORMATS`, or `auto`: the first that it looks like.
        options: what the corpus leaves open.

    Raises:
        DatasetError: nothing is there, or it looks like none of them; while it is read, that it is unusable.
        UnknownNameError: no such format.
    """
    if format_name not in {AUTO, *FORMATS}:
        raise UnknownNameError("format", format_name, [AUTO, *FORMATS])
    if format_name != HUB.name and not HUB.matches(path) and not path.exists():
        raise DatasetError(f"'{path}': no such file or folder; expected a corpus, or hf:OWNER/NAME for one on the hub")
    if format_name == AUTO:
        format_name = next((name for name, one in FORMATS.items() if one.matches(path)), AUTO)
    if format_name == AUTO:
        known = "; ".join(f"{name} ({one.layout})" for name, one in FORMATS.items())
        raise DatasetError(f"'{path}' looks like no format that we know; expected one of: {known}")
    return FORMATS[format_name].read(path, options or ReadOptions())


def import_entries(entries: Iterable[Entry | Skipped], audio_folder: Path) -> ImportReport:
    """Utterances of the entries whose recording is there.

    Args:
        entries: of one corpus or several.
        audio_folder: where recordings that lie inside a table are written to; made when needed, of this corpus alone.
    """
    measure = lru_cache(maxsize=1024)(measure_duration)  # a recording may hold many utterances
    utterances: list[Utterance] = []
    skipped: list[Skipped] = []
    ids: set[str] = set()
    renamed = 0
    for number, entry in enumerate(entries):
        if isinstance(entry, Skipped):
            skipped.append(entry)
            continue
        try:
            audio = entry.audio
            if isinstance(audio, EmbeddedAudio):
                audio = store_audio(audio, audio_folder, number)
            elif not audio.is_file() and split_member(audio) is None:
                raise AudioError(f"'{audio}': no such file")
            duration = measure(audio) - entry.start if entry.duration is None else entry.duration
            if duration <= 0:
                raise AudioError(f"'{audio}' holds nothing from {entry.start:g} s on")
        except AudioError as error:
            skipped.append(Skipped(where=entry.where, reason=str(error)))
            continue
        wanted = entry.id or _stem(entry)
        unique = _unique(wanted or f"{number:06d}", ids)
        renamed += bool(entry.id) and unique != wanted
        utterances.append(
            Utterance(
                id=unique,
                audio=audio.absolute(),
                duration=round(duration, 4),
                text=entry.text,
                speaker=entry.speaker,
                start=round(entry.start, 4),
                language=entry.language,
                task=entry.task,
                response=entry.response,
                extra=entry.extra,
            )
        )
    return ImportReport(utterances=utterances, skipped=skipped, renamed=renamed)


def measure_duration(audio: Path) -> Seconds:
    """Length of a recording by its header; it is decoded where that does not say.

    Raises:
        AudioError: it cannot be read.
    """
    with open_audio(open_recording(audio)) as stream:
        if stream.header_duration is None:
            for _ in stream:
                pass
            return stream.duration
        return stream.header_duration


def store_audio(audio: EmbeddedAudio, folder: Path, number: int) -> Path:
    """Write a recording out of a table to a file of that number, byte by byte, and return its path."""
    suffix = Path(audio.name).suffix if is_audio(Path(audio.name)) else ""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:06d}{suffix}"
    path.write_bytes(audio.data)
    return path


def _stem(entry: Entry) -> str:
    return Path(entry.audio.name).stem


def _unique(wanted: str, ids: set[str]) -> str:
    """The id, with a number behind it where it is taken."""
    unique, count = wanted, 1
    while unique in ids:
        count += 1
        unique = f"{wanted}-{count}"
    ids.add(unique)
    return unique
