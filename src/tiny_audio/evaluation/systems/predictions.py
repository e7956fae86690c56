"""Stored answers of any system: JSON lines with an `id` and a text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_audio.data.manifest import Utterance
from tiny_audio.errors import ManifestError
from tiny_audio.evaluation.results import UtteranceResult, result_of

_TEXT_KEYS = ("pred_text", "hypothesis", "prediction", "text")
"""Where the answer stands; the first that a line has. `text` means the reference in a line with `pred_text`."""


def read_predictions(path: Path, utterances: Sequence[Utterance]) -> list[UtteranceResult]:
    """The answers to `utterances` out of a file, matched by id, in the order of `utterances`; others are left out.

    Raises:
        ManifestError: the file cannot be read, a line cannot be used, or an utterance has no answer.
    """
    rows = _read_rows(path)
    if missing := [utterance.id for utterance in utterances if utterance.id not in rows]:
        raise ManifestError(
            str(path), None, f"no prediction for {len(missing)} of {len(utterances)} utterances, first: '{missing[0]}'"
        )
    return [_result(utterance, rows[utterance.id]) for utterance in utterances]


def _read_rows(path: Path) -> dict[str, dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(str(path), None, f"cannot read the predictions: {error}") from error
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ManifestError(str(path), number, f"not JSON: {error.msg} at column {error.colno}") from error
        if not isinstance(row, dict) or "id" not in row or not isinstance(_text(row), str):
            raise ManifestError(str(path), number, f"expected an object with 'id' and one of {', '.join(_TEXT_KEYS)}")
        if row["id"] in rows:
            raise ManifestError(str(path), number, f"id '{row['id']}' occurs twice")
        rows[row["id"]] = row
    return rows


def _text(row: dict[str, Any]) -> Any:
    return next((row[key] for key in _TEXT_KEYS if key in row), None)


def _result(utterance: Utterance, row: dict[str, Any]) -> UtteranceResult:
    return result_of(
        utterance,
        hypothesis=_text(row),
        draft=str(row.get("draft", "")),
        problem=str(row.get("problem", "")),
        wall_seconds=float(row.get("time") or 0.0),
        words=row.get("words", ()),
    )
