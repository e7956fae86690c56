"""Common Voice: `train.tsv` and others beside a folder `clips`, each of them one part of the corpus."""

from pathlib import Path

from tiny_audio.data.corpora.columns import entry_of, find_columns
from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, ReadOptions, Skipped
from tiny_audio.data.corpora.table import header_of, read_rows
from tiny_audio.errors import DatasetError

_COLUMNS = {"client_id", "path", "sentence"}


def _parts(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.tsv")) if set(header_of(path)) >= _COLUMNS}


def _matches(path: Path) -> bool:
    return bool(_parts(path)) if path.is_dir() else path.suffix == ".tsv" and set(header_of(path)) >= _COLUMNS


def _read(path: Path, options: ReadOptions) -> Entries:
    if path.is_dir():
        parts = _parts(path)
        if options.split not in parts:
            found = f"expected one of {', '.join(parts)}" if parts else "expected train.tsv with a folder clips"
            raise DatasetError(f"'{path}': no part '{options.split}'; {found}: choose with --split")
        path = parts[options.split]
    columns = find_columns(header_of(path), options.columns, where=f"'{path}'")
    durations = _durations(path.parent / "clip_durations.tsv")
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        if row is None:
            yield Skipped(where=where, reason="another number of cells than the header's")
            continue
        seconds = {"duration": durations[row["path"]]} if row["path"] in durations else {}
        named = columns | dict.fromkeys(seconds, "duration")
        yield entry_of(row | seconds, named, folder=path.parent / "clips", where=where)


def _durations(path: Path) -> dict[str, str]:
    """Seconds of each clip as the corpus lists them, in milliseconds."""
    if not path.is_file():
        return {}
    rows = (row for _, row in read_rows(path) if row)
    return {row["clip"]: str(float(row["duration[ms]"]) / 1000) for row in rows}


COMMON_VOICE = CorpusFormat(
    name="common-voice",
    layout="folder or .tsv of Common Voice with clips/ beside it",
    matches=_matches,
    read=_read,
)
