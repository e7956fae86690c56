"""Tables with a header: `.csv` with quotes, `.tsv` without, audio paths relative to the file."""

import csv
from collections.abc import Iterator
from pathlib import Path

from tiny_audio.data.corpora.columns import entry_of, find_columns, has_columns
from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, ReadOptions, Skipped, first_line
from tiny_audio.errors import DatasetError

_DELIMITERS = ",;|"


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, str] | None]]:
    """The line and the cells of each row by column; None where cells are missing or left over.

    In a `.tsv` a quote is a character like any other: transcripts begin and end with one, and would swallow lines.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            if path.suffix == ".tsv":
                rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            else:
                rows = csv.reader(lines, delimiter=_delimiter(path), strict=True)
            header = next(rows, [])
            for row in rows:
                if row:
                    yield rows.line_num, dict(zip(header, row, strict=True)) if len(row) == len(header) else None
    except UnicodeDecodeError:
        raise DatasetError(f"'{path}' is not UTF-8 text; convert it first") from None
    except OSError as error:
        raise DatasetError(f"cannot read '{path}': {error.strerror}") from error
    except csv.Error as error:
        raise DatasetError(f"'{path}' is no table: {error}; is a quote left open?") from error


def header_of(path: Path) -> list[str]:
    """Names of the columns; empty if the file is no text."""
    return [name.strip('"') for name in first_line(path).split(_delimiter(path))]


def read_table(path: Path, options: ReadOptions) -> Entries:
    """One entry a row."""
    columns = find_columns(header_of(path), options.columns, where=f"'{path}'")
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        if row is None:
            yield Skipped(where=where, reason=f"another number of cells than the header's {len(header_of(path))}")
        else:
            yield entry_of(row, columns, folder=path.parent, where=where)


def _delimiter(path: Path) -> str:
    header = first_line(path)
    return "\t" if path.suffix == ".tsv" else max(_DELIMITERS, key=header.count)


TABLE = CorpusFormat(
    name="csv",
    layout=".csv or .tsv with a header that names audio and text",
    matches=lambda path: path.suffix in (".csv", ".tsv") and path.is_file() and has_columns(header_of(path)),
    read=read_table,
)
