"""Parquet files of Hugging Face datasets: the recordings lie in the table, as bytes or as paths."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiny_audio.data.corpora.columns import entry_of, find_columns
from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, ReadOptions
from tiny_audio.errors import DatasetError, MissingExtraError

_ROWS = 32
"""Rows that are in memory at once, with their audio."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DatasetError: it is no Parquet file.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("pyarrow", "data") from None
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=_ROWS):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of ValueError
        raise DatasetError(f"cannot read '{path}': {' '.join(str(error).split())[:200]}") from error


def _files(path: Path, split: str) -> list[Path]:
    """The file, or those of one split: a folder of the hub holds `train-00000-of-00004.parquet` and the like."""
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.parquet"))
    splits = sorted({file.stem.partition("-")[0] for file in files})
    if split:
        files = [file for file in files if file.stem.partition("-")[0] == split]
    if not files or (not split and len(splits) > 1):
        raise DatasetError(f"'{path}' holds the parts {', '.join(splits) or 'of nothing'}; choose one with --split")
    return files


def _read(path: Path, options: ReadOptions) -> Entries:
    for file in _files(path, options.split):
        columns: dict[str, str] = {}
        for number, row in enumerate(read_rows(file), start=1):
            columns = columns or find_columns(row, options.columns, where=f"'{file}'")
            yield entry_of(row, columns, folder=file.parent, where=f"{file}: row {number}")


PARQUET = CorpusFormat(
    name="parquet",
    layout=".parquet file or a folder of them",
    matches=lambda path: (
        (path.is_file() and path.suffix == ".parquet")
        or (path.is_dir() and next(path.glob("*.parquet"), None) is not None)
    ),
    read=_read,
)
