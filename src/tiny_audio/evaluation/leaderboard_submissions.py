"""Results that were submitted to a leaderboard: a folder of JSON files, one for each model on each set.

A file holds the fields of `leaderboard_page.Entry` and nothing else: no answers, no paths of somebody's disk.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_type_hints

from tiny_audio import atomic
from tiny_audio.errors import OutputError, ResultsError
from tiny_audio.evaluation.leaderboard_page import Entry, format_page, read_entries

_KINDS: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    bool: (bool,),
    float: (int, float),
    float | None: (int, float),
}


def add_to_board(
    results: Iterable[Path],
    page: Path,
    *,
    models: Sequence[str] = (),
    hardware: str = "",
    training_hours: float | None = None,
    cost: float | None = None,
) -> list[Path]:
    """Store results beside a page (`leaderboard/*.json` of `leaderboard.md`) and write the page anew.

    A model that was there on the same set, by the same rule, is replaced.

    Args:
        results: `results.json` files, or folders that hold some.
        page: Markdown.
        models: which of those in the files; all by default.
        hardware: what the speed was measured on.
        training_hours: of audio that the model was trained on.
        cost: of its training, in US dollars.

    Returns:
        The files of the new results.

    Raises:
        ResultsError: a file is not a result, or says what cannot be; nothing is written then.
        OutputError: the page or its folder cannot be written.
    """
    found = read_entries(results)
    if missing := sorted(set(models) - {entry.model for entry in found}):
        raise ResultsError(f"no result of '{missing[0]}'; found {', '.join(sorted({entry.model for entry in found}))}")
    entries = [
        replace(entry, model=_public_name(entry.model), hardware=hardware, training_hours=training_hours, cost=cost)
        for entry in found
        if not models or entry.model in models
    ]
    for entry in entries:
        _check(asdict(entry), entry.model)
    folder = page.with_suffix("")
    files = {folder / _file_name(entry): entry for entry in entries}
    known = {path: entry for path, entry in _stored(folder) if path not in files}
    try:
        for path, entry in files.items():
            atomic.write_text(path, json.dumps(asdict(entry), indent=1, ensure_ascii=False) + "\n")
        atomic.write_text(page, format_page([*known.values(), *files.values()]))
    except OSError as error:
        raise OutputError(str(page), error.strerror or str(error)) from error
    return list(files)


def read_board(folder: Path) -> list[Entry]:
    """All results of a folder, checked.

    Raises:
        ResultsError: a file is damaged, or says what cannot be.
    """
    return [entry for _, entry in _stored(folder)]


def _stored(folder: Path) -> Iterator[tuple[Path, Entry]]:
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultsError(f"cannot read '{path}': {error}") from error
        _check(values, str(path))
        yield path, Entry(**values)


def _check(values: Any, source: str) -> None:
    """Fields, their types, and numbers that are possible."""
    fields = {field.name: field for field in dataclasses.fields(Entry)}
    if not isinstance(values, dict):
        raise ResultsError(f"'{source}' holds no JSON object; expected what `tiny-audio leaderboard add` writes")
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    problems = [f"no {name}" for name in sorted(required - values.keys())]
    problems += [f"an unknown {name}" for name in sorted(values.keys() - fields.keys())]
    hints = get_type_hints(Entry)
    for name in sorted(values.keys() & fields.keys()):
        value = values[name]
        if value is None and hints[name] == float | None:
            continue
        if isinstance(value, bool) != (hints[name] is bool) or not isinstance(value, _KINDS[hints[name]]):
            problems.append(f"{name} {value!r}, which is no {getattr(hints[name], '__name__', 'number')}")
        elif isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
            problems.append(f"{name} {value}, which cannot be")
    if not problems and not values["low"] <= values["wer"] <= values["high"]:
        problems.append(f"a rate {values['wer']} outside of its interval {values['low']} to {values['high']}")
    if not problems and not (values["model"] and 0 <= values["num_failed"] <= values["num_utterances"] > 0):
        problems.append(f"{values['num_failed']} failures of {values['num_utterances']} utterances of a named model")
    if problems:
        raise ResultsError(f"'{source}' is no result that can be listed; found {'; '.join(problems)}")


def _public_name(model: str) -> str:
    """The last two parts of a path; names of the hub and of shipped models stay as they are."""
    return model if "://" in model else "/".join(Path(model).parts[-2:])


def _file_name(entry: Entry) -> str:
    words = f"{entry.model} {entry.dataset} {entry.num_utterances} {entry.rule.partition(' ')[0]}"
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', words).strip('-.')}.json"
