"""A page that ranks evaluations of many models, from their `results.json` files: one table a set, the best first."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        systems = values.get("systems", [values])
        return [_entry(system) for system in systems]
    except OSError as error:
        raise ResultsError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise ResultsError(f"'{path}' is not JSON of an evaluation: {error}") from error
    except KeyError as error:
        raise ResultsError(f"'{path}' has no {error}; expected what `tiny-audio eval --output-dir` writes") from error


def _entry(system: Mapping[str, Any]) -> Entry:
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
    )


def format_page(entries: Iterable[Entry]) -> str:
    """Markdown: a table for each set, number of utterances and rule of counting; equal rates by name."""
    groups: dict[tuple[str, int, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.dataset, entry.num_utterances, entry.rule), []).append(entry)
    lines = ["# Leaderboard", "", "Word error rates with their 95 % intervals, the best first."]
    for (dataset, num_utterances, rule), rows in sorted(groups.items()):
        lines += [
            "",
            f"## {_cell(dataset)}",
            "",
            f"{num_utterances:,} utterances, counted with {_cell(rule)}.",
            "",
            "| | Model | WER | 95 % interval | No answer | rtfx |",
            "| ---: | --- | ---: | ---: | ---: | ---: |",
        ]
        for rank, row in enumerate(sorted(rows, key=lambda row: (row.wer, row.model)), start=1):
            interval = f"{100 * row.low:.1f} – {100 * row.high:.1f} %"
            rate = f"{100 * row.wer:.2f} %"
            lines.append(f"| {rank} | {_cell(row.model)} | {rate} | {interval} | {row.num_failed} | {row.rtfx:.1f} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that cannot end a cell or begin markup."""
    return " ".join(text.replace("|", "/").replace("<", "‹").replace(">", "›").split())
