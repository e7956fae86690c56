"""NeMo manifests, and other JSON lines of one utterance each: audio paths are relative to the file."""

import json
from pathlib import Path

from tiny_audio.data.corpora.columns import entry_of, find_columns, has_columns
from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, ReadOptions, Skipped, first_line, read_lines
from tiny_audio.errors import DatasetError


def _matches(path: Path) -> bool:
    if path.suffix not in (".json", ".jsonl") or not path.is_file():
        return False
    try:
        row = json.loads(first_line(path))
    except ValueError:
        return False
    return isinstance(row, dict) and has_columns(row)


def read_json_lines(path: Path, options: ReadOptions) -> Entries:
    """One entry a line; each line may have columns of its own."""
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            yield Skipped(where=where, reason=f"not JSON: {error}")
            continue
        if not isinstance(row, dict):
            yield Skipped(where=where, reason=f"expected a JSON object, found {type(row).__name__}")
            continue
        try:
            columns = find_columns(row, options.columns, where="the line")
        except DatasetError as error:
            yield Skipped(where=where, reason=str(error))
            continue
        yield entry_of(row, columns, folder=path.parent, where=where)


NEMO = CorpusFormat(
    name="nemo",
    layout="JSON lines with audio_filepath, duration and text",
    matches=_matches,
    read=read_json_lines,
)
