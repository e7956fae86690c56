"""How numbers and names are written in the page and in the summary."""

from pathlib import Path

from tiny_audio.evaluation.bootstrap import Comparison, Interval

_NBSP = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"


def percent(rate: float, digits: int = 1) -> str:
    """A fraction as percent."""
    return f"{100 * rate:.{digits}f}{_NBSP}%"


def percent_range(interval: Interval) -> str:
    """Both ends of an interval of fractions."""
    return f"{100 * interval.low:.1f} – {percent(interval.high)}"


def count(number: int) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,}"


def amount(number: int, noun: str) -> str:
    """A number of things."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def time_span(seconds: float) -> str:
    """A length of audio in the unit that one would say it in."""
    if seconds < 60:
        return f"{seconds:.1f}{_NBSP}s"
    return f"{seconds / 60:.1f}{_NBSP}min" if seconds < 3600 else f"{seconds / 3600:.1f}{_NBSP}h"


def comparison_sentence(name: str, baseline: str, comparison: Comparison) -> str:
    """What a paired comparison says."""
    if comparison.is_better:
        verdict = f"{name} is better than {baseline}"
    elif comparison.is_worse:
        verdict = f"{name} is worse than {baseline}"
    else:
        verdict = f"{name} cannot be told from {baseline}"
    interval = comparison.interval
    return (
        f"{verdict}: {_points(comparison.difference)} points of WER (95 % interval {_points(interval.low)} to "
        f"{_points(interval.high)}); probability of improvement {_probability(comparison.probability_of_improvement)}."
    )


def dataset_title(name: str) -> str:
    """A set's name as a title: a path is cut down to its last folder and file."""
    path = Path(name)
    return "/".join(path.with_suffix("").parts[-2:]).lstrip("/") if path.suffix == ".jsonl" else name or "Evaluation"


def _probability(share: float) -> str:
    """Never a certainty: a bootstrap that always says the same is still a sample."""
    if share < 0.01:
        return f"under 1{_NBSP}%"
    return f"over 99{_NBSP}%" if share > 0.99 else percent(share, 0)


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}".replace("-", _MINUS)
