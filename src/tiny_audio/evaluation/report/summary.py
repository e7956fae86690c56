"""`summary.md`: the numbers that go into a README or a pull request."""

from collections.abc import Iterable, Sequence

from tiny_audio.evaluation.bootstrap import Comparison
from tiny_audio.evaluation.report.analysis import SystemAnalysis
from tiny_audio.evaluation.report.hallucinations import CHECKS
from tiny_audio.evaluation.report.wording import (
    amount,
    comparison_sentence,
    count,
    dataset_title,
    percent,
    percent_range,
    time_span,
)

_NUM_FREQUENT = 10
_MAX_BUCKETS = 12
_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#"} | {"\n": " "})


def summary_markdown(analyses: Sequence[SystemAnalysis], comparisons: Sequence[Comparison]) -> str:
    """A table of the systems, how they compare, and each one's weak spots."""
    first = analyses[0].system
    names = [_text(analysis.system.name) for analysis in analyses]
    parts = [
        f"# {_text(dataset_title(first.dataset))}",
        _table(
            ("System", "WER", "95 % interval", "Sub.", "Del.", "Ins.", "CER", "With errors", "No answer", "rtfx"),
            (_result(name, analysis) for name, analysis in zip(names, analyses, strict=True)),
        ),
        f"{amount(len(first.speech), 'utterance')} with {amount(first.counts.reference_words, 'word')}, "
        f"{count(len(first.non_speech))} without words. Normaliser {_text(first.normalizer)}, scorer "
        f"{_text(first.scorer)}, intervals by bootstrap over each {first.interval_unit}.",
        *(comparison_sentence(name, names[0], one) for name, one in zip(names[1:], comparisons, strict=True)),
    ]
    if analyses[0].buckets:
        parts += ["## Where the errors are", *_bucket_tables(names, analyses)]
    for name, analysis in zip(names, analyses, strict=True):
        parts += [f"## {name}", *_weak_spots(analysis)]
    return "\n\n".join(parts) + "\n"


def _result(name: str, analysis: SystemAnalysis) -> tuple[str, ...]:
    system = analysis.system
    words = max(system.counts.reference_words, 1)
    kinds = (system.counts.substitutions, system.counts.deletions, system.counts.insertions)
    return (
        name,
        percent(system.wer, 2),
        percent_range(system.wer_interval),
        *(percent(kind / words) for kind in kinds),
        percent(system.cer),
        percent(system.sentence_error_rate),
        count(len(system.failures)),
        f"{system.rtfx:.1f}" if system.wall_seconds else "",
    )


def _bucket_tables(names: Sequence[str], analyses: Sequence[SystemAnalysis]) -> Iterable[str]:
    columns = ["WER"] if len(names) == 1 else names
    for dimension, buckets in analyses[0].buckets.items():
        own = [{bucket.label: bucket.counts.wer for bucket in one.buckets[dimension]} for one in analyses]
        rows = (
            (
                _text(bucket.label),
                count(bucket.num_utterances),
                count(bucket.counts.reference_words),
                *(percent(rates[bucket.label]) for rates in own),
            )
            for bucket in buckets[:_MAX_BUCKETS]
        )
        yield _table((dimension.title, "Utterances", "Words", *columns), rows)


def _weak_spots(analysis: SystemAnalysis) -> Iterable[str]:
    frequent = analysis.frequent_errors
    lists = {
        "Confused": [f"{_text(said)} → {_text(heard)} ({times})" for said, heard, times in frequent.confusions],
        "Left out": [f"{_text(word)} ({times})" for word, times in frequent.deletions],
        "Added": [f"{_text(word)} ({times})" for word, times in frequent.insertions],
    }
    found = {CHECKS[key][0]: analysis.hallucination_counts[key] for key in analysis.checks}
    lines = [f"- {title}: {', '.join(items[:_NUM_FREQUENT])}" for title, items in lists.items() if items]
    lines += [f"- {title}: {amount(times, 'utterance')}" for title, times in found.items() if times]
    system = analysis.system
    if system.non_speech:
        lines.append(
            f"- Without words: {time_span(system.non_speech_seconds)} of audio, "
            f"{system.invented_words_per_minute:.1f} words invented a minute"
        )
    if lines:
        yield "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rules = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rules, *rows))


def _text(text: str) -> str:
    """A text that Markdown leaves as it is."""
    return text.translate(_ESCAPED)
