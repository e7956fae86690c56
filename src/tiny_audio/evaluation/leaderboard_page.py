"""A page that ranks evaluations of many models, from their `results.json` files: one table a set, the best first."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tiny_audio.errors import ResultsError

RESULTS_FILE = "results.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model on one set, counted by one rule."""

    model: str
    dataset: str
    rule: str
    """Scorer and normaliser; rates by different rules cannot be ranked together."""
    num_utterances: int
    wer: float
    low: float
    high: float
    """Interval of the rate."""
    rtfx: float
    num_failed: int
    audio_seconds: float | None = None
    """That were transcribed."""
    is_whole: bool = False
    """Nothing of the set was left out (`--max-samples`)."""
    hardware: str = ""
    """What the speed was measured on, as a submitter says; as all that follows."""
    training_hours: float | None = None
    """Of audio that the model was trained on."""
    cost: float | None = None
    """Of the training, in US dollars."""


def read_entries(sources: Iterable[Path]) -> list[Entry]:
    """All systems in `results.json` files, or in folders (at any depth) that hold some.

    Raises:
        ResultsError: a folder holds none, or a file is not one of ours; says what was found.
    """
    entries = []
    for source in sources:
        files = sorted(source.rglob(RESULTS_FILE)) if source.is_dir() else [source]
        if not files:
            raise ResultsError(f"no {RESULTS_FILE} in '{source}'; expected what `tiny-audio eval --output-dir` writes")
        for file in files:
            entries += _read(file)
    return entries


def _read(path: Path) -> list[Entry]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        is_whole = values.get("settings", {}).get("max_samples", 0) is None
        return [_entry(system, is_whole) for system in values.get("systems", [values])]
    except OSError as error:
        raise ResultsError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise ResultsError(f"'{path}' is not JSON of an evaluation: {error}") from error
    except KeyError as error:
        raise ResultsError(f"'{path}' has no {error}; expected what `tiny-audio eval --output-dir` writes") from error


def _entry(system: Mapping[str, Any], is_whole: bool) -> Entry:
    low, high = system["wer_interval"]
    return Entry(
        model=str(system["model"]),
        dataset="/".join(Path(str(system["dataset"])).with_suffix("").parts[-2:]),
        rule=f"{system['scorer']}, {system['normalizer']}",
        num_utterances=int(system["num_utterances"]),
        wer=float(system["wer"]),
        low=float(low),
        high=float(high),
        rtfx=float(system["rtfx"]),
        num_failed=int(system["num_failed"]),
        audio_seconds=None if system.get("audio_seconds") is None else float(system["audio_seconds"]),
        is_whole=is_whole,
    )


def format_page(entries: Iterable[Entry]) -> str:
    """Markdown: a table for each set, number of utterances and rule of counting; equal rates by name."""
    groups: dict[tuple[str, int, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.dataset, entry.num_utterances, entry.rule), []).append(entry)
    lines = ["# Leaderboard", "", "Word error rates with their 95 % intervals, the best first."]
    for (dataset, num_utterances, rule), rows in sorted(groups.items()):
        columns = [column for column in _COLUMNS if any(column.cell(row) for row in rows)]
        lines += [
            "",
            f"## {_cell(dataset)}",
            "",
            f"{num_utterances:,} utterances{_hours(rows)}, counted with {_cell(rule)}.",
            "",
            f"| | {' | '.join(column.title for column in columns)} |",
            f"| ---: | {' | '.join(column.rule for column in columns)} |",
        ]
        for rank, row in enumerate(sorted(rows, key=lambda row: (row.wer, row.model)), start=1):
            lines.append(f"| {rank} | {' | '.join(column.cell(row) for column in columns)} |")
    return "\n".join(lines) + "\n"


class _Column(NamedTuple):
    """A column, which is left out where no row has anything in it."""

    title: str
    cell: Callable[[Entry], str]
    rule: str = "---:"


def _hours(rows: Iterable[Entry]) -> str:
    """Of audio, the most that one of them transcribed."""
    seconds = max(row.audio_seconds or 0.0 for row in rows)
    return f", {seconds / 3600:.2f} h" if seconds else ""


def _given(value: float | None, style: str) -> str:
    return "" if value is None else format(value, style)


def _cell(text: str) -> str:
    """Text that cannot end a cell or begin markup."""
    return " ".join(text.replace("|", "/").replace("<", "‹").replace(">", "›").split())


_COLUMNS = (
    _Column("Model", lambda row: _cell(row.model), "---"),
    _Column("WER", lambda row: f"{100 * row.wer:.2f} %"),
    _Column("95 % interval", lambda row: f"{100 * row.low:.1f} – {100 * row.high:.1f} %"),
    _Column("No answer", lambda row: str(row.num_failed)),
    _Column("rtfx", lambda row: f"{row.rtfx:.1f}"),
    _Column("Hardware", lambda row: _cell(row.hardware), "---"),
    _Column("Trained on, hours", lambda row: _given(row.training_hours, ",.1f")),
    _Column("Training cost, $", lambda row: _given(row.cost, ",.2f")),
)
