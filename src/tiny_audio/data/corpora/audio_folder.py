"""Hugging Face audio folders: recordings with `metadata.csv`, `.jsonl` or `.parquet`, whose `file_name` is a path."""

from pathlib import Path

from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, ReadOptions
from tiny_audio.data.corpora.nemo import NEMO
from tiny_audio.data.corpora.parquet import PARQUET
from tiny_audio.data.corpora.table import TABLE
from tiny_audio.errors import DatasetError

_READERS = {"metadata.csv": TABLE, "metadata.jsonl": NEMO, "metadata.parquet": PARQUET}


def _tables(folder: Path) -> dict[str, Path]:
    """The table of each part; the part that lies in the folder itself has no name."""
    parts = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()} if folder.is_dir() else {}
    files = ((part, path / name) for part, path in {"": folder, **parts}.items() for name in _READERS)
    return {part: path for part, path in files if path.is_file() and _READERS[path.name].matches(path)}


def _read(folder: Path, options: ReadOptions) -> Entries:
    tables = _tables(folder)
    if options.split not in tables:
        found = f"has the parts {', '.join(tables)}: choose with --split" if tables else "has no metadata.csv"
        raise DatasetError(f"'{folder}': no part '{options.split}'; it {found}")
    table = tables[options.split]
    yield from _READERS[table.name].read(table, options)


AUDIO_FOLDER = CorpusFormat(
    name="audiofolder",
    layout="folder with metadata.csv, .jsonl or .parquet that names its files",
    matches=lambda path: bool(_tables(path)),
    read=_read,
)
