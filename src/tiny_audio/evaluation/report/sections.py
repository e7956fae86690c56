"""The page's tables: rates, buckets, words, hallucinations, speed, other tasks, settings. No table, no section."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from tiny_audio.evaluation.bootstrap import Comparison
from tiny_audio.evaluation.labels import LabelScore
from tiny_audio.evaluation.report.analysis import SystemAnalysis
from tiny_audio.evaluation.report.buckets import Dimension
from tiny_audio.evaluation.report.hallucinations import CHECKS
from tiny_audio.evaluation.report.wording import (
    comparison_sentence,
    count,
    percent,
    percent_range,
    time_span,
)

_MAX_FREQUENT = 15
_MAX_BUCKETS = 12
_FEW_WORDS = 100
"""A rate over fewer words says little: one more error moves it by more than a point."""

_RESULT_HEADS = {
    "System": "",
    "WER": "word error rate",
    "95 % interval": "where the true rate lies, by bootstrap",
    "Sub.": "words taken for another, per word said",
    "Del.": "words left out, per word said",
    "Ins.": "words added, per word said",
    "CER": "character error rate",
    "With errors": "share of utterances with at least one error",
    "No answer": "utterances that failed; their words count as left out",
    "rtfx": "seconds of audio per second of work",
}


def result(analyses: Sequence[SystemAnalysis], comparisons: Sequence[Comparison]) -> str:
    """One row a system, and how each compares with the first."""
    most = 1.05 * max(max(one.system.wer_interval.high, one.system.wer) for one in analyses)
    best = min(one.system.wer for one in analyses) if len(analyses) > 1 else None
    names = [one.system.name for one in analyses]
    sentences = "".join(
        f"<li>{escape(comparison_sentence(name, names[0], comparison))}</li>"
        for name, comparison in zip(names[1:], comparisons, strict=True)
    )
    return _table("Error rates", _RESULT_HEADS, (_result_row(one, most, best) for one in analyses), "prose") + (
        f'<ul class="sentences">{sentences}</ul>' if sentences else ""
    )


def _result_row(analysis: SystemAnalysis, most: float, best: float | None) -> str:
    system, counts, interval = analysis.system, analysis.system.counts, analysis.system.wer_interval
    words = max(counts.reference_words, 1)
    name = escape(system.name)
    if system.has_draft:
        name += f"<small>its CTC draft alone: {percent(system.draft_counts.wer, 2)}</small>"
    place = f"--low:{_share(interval.low, most)};--high:{_share(interval.high, most)};--rate:{_share(system.wer, most)}"
    cells = [
        percent(counts.substitutions / words),
        percent(counts.deletions / words),
        percent(counts.insertions / words),
        percent(system.cer),
        percent(system.sentence_error_rate),
        count(len(system.failures)),
        _rtfx(system.rtfx),
    ]
    return _row(
        name,
        f'<td class="rate">{percent(system.wer, 2)}</td>',
        f'<td class="range"><i style="{place}"></i><span>{percent_range(interval)}</span></td>',
        *(f"<td>{cell}</td>" for cell in cells),
        kind="best" if system.wer == best else "",
    )


def buckets(analyses: Sequence[SystemAnalysis]) -> str:
    """One table for each way to part the speech."""
    tables = "".join(_bucket_table(dimension, analyses) for dimension in analyses[0].buckets)
    if not tables:
        return ""
    return (
        f'<div class="tables{" single" if len(analyses) > 1 else ""}">{tables}</div>'
        f'<p class="note">Word error rate of the speech in each part. Grey: fewer than {_FEW_WORDS} words, where one '
        "error weighs more than a point. Noise is measured on the audio: mean power over the quietest twentieth.</p>"
    )


def _bucket_table(dimension: Dimension, analyses: Sequence[SystemAnalysis]) -> str:
    own = [{bucket.label: bucket for bucket in analysis.buckets[dimension]} for analysis in analyses]
    shown = list(own[0].values())
    if not dimension.edges:  # names have no order of their own
        shown.sort(key=lambda bucket: (bucket.counts.reference_words < _FEW_WORDS, -bucket.counts.wer, bucket.label))
    left_out = len(shown) - _MAX_BUCKETS
    shown = shown[:_MAX_BUCKETS]
    most = max((parts[bucket.label].counts.wer for parts in own for bucket in shown), default=0.0)
    rows = (
        _row(
            escape(bucket.label),
            f"<td>{count(bucket.num_utterances)}</td><td>{count(bucket.counts.reference_words)}</td>",
            *(_bar(parts[bucket.label].counts.wer, most, percent) for parts in own),
            kind="few" if bucket.counts.reference_words < _FEW_WORDS else "",
        )
        for bucket in shown
    )
    heads = {dimension.title: "", "Utterances": "", "Words": ""}
    more = f'<p class="note">{left_out} more in results.json.</p>' if left_out > 0 else ""
    return f"<div>{_table(dimension.title, heads | _columns(analyses, 'WER'), rows)}{more}</div>"


def frequent_errors(analyses: Sequence[SystemAnalysis]) -> str:
    """For each system three lists: confused, left out, added."""
    return _system_choice("words", analyses) + "".join(_frequent(number, one) for number, one in enumerate(analyses))


def _frequent(number: int, analysis: SystemAnalysis) -> str:
    frequent, counts = analysis.frequent_errors, analysis.system.counts
    added = counts.insertions + analysis.system.invented_words
    confused = (
        _row(f'<del class="said">{escape(said)}</del>', f"<td><ins>{escape(heard)}</ins></td><td>{count(times)}</td>")
        for said, heard, times in frequent.confusions[:_MAX_FREQUENT]
    )
    left_out = (_row(escape(word), f"<td>{count(times)}</td>") for word, times in frequent.deletions[:_MAX_FREQUENT])
    invented = (_row(escape(word), f"<td>{count(times)}</td>") for word, times in frequent.insertions[:_MAX_FREQUENT])
    tables = (
        (f"Confused, {count(counts.substitutions)} in all", {"Said": "", "Understood": "", "Times": ""}, confused, "S"),
        (f"Left out, {count(counts.deletions)} in all", {"Said": "", "Times": ""}, left_out, "D"),
        (f"Added, {count(added)} in all", {"Understood": "", "Times": ""}, invented, "I"),
    )
    body = "".join(f'<div class="{kind}">{_table(caption, heads, rows)}</div>' for caption, heads, rows, kind in tables)
    return (
        f'<div class="panel" data-system="{number}"><h3>{escape(analysis.system.name)}</h3>'
        f'<div class="words-tables">{body}</div></div>'
    )


def hallucinations(analyses: Sequence[SystemAnalysis]) -> str:
    """How many answers do not pass each check; a number leads to the utterances."""
    checks = [key for key in CHECKS if any(key in one.checks for one in analyses)]
    rows = [
        _row(
            f"{escape(CHECKS[key][0])}<small>{escape(CHECKS[key][1])}</small>",
            *(_check_cell(number, one, key) for number, one in enumerate(analyses)),
        )
        for key in checks
    ]
    if analyses[0].system.non_speech:
        seconds = time_span(analyses[0].system.non_speech_seconds)
        rows.insert(
            0,
            _row(
                f"Words a minute where none was said<small>in {seconds} of audio whose reference is empty</small>",
                *(
                    f'<td>{one.system.invented_words_per_minute:.1f} <span class="share"></span></td>'
                    for one in analyses
                ),
            ),
        )
    return _table("Suspicious answers", {"Check": ""} | _columns(analyses, "Utterances"), rows, "prose") + (
        '<p class="note">Lengths and loops are counted in words after the normaliser. '
        "An answer may fail several checks; utterances without an answer are not checked.</p>"
    )


def _check_cell(number: int, analysis: SystemAnalysis, key: str) -> str:
    if key not in analysis.checks:
        return '<td class="quiet">not told</td>'
    times = analysis.hallucination_counts[key]
    if not times:
        return '<td class="quiet">0 <span class="share"></span></td>'
    share = percent(times / len(analysis.system.utterances))
    return (
        f'<td><a href="#utterances" data-filter="{key}" data-system="{number}">{count(times)}</a> '
        f'<span class="share">{share}</span></td>'
    )


def speed(analyses: Sequence[SystemAnalysis]) -> str:
    """Seconds of audio per second of work, by length."""
    timed = [one for one in analyses if one.speed]
    if not timed:
        return ""
    own = [{bucket.label: bucket for bucket in one.speed} for one in timed]
    labels = {bucket.label: bucket for one in timed for bucket in one.speed}
    order = sorted(labels, key=lambda label: labels[label].audio_seconds / labels[label].num_utterances)
    most = max(bucket.rtfx for parts in own for bucket in parts.values())
    rows = [
        _row(
            escape(label),
            f"<td>{count(labels[label].num_utterances)}</td>",
            *(_bar(parts[label].rtfx, most, _rtfx) if label in parts else "<td>–</td>" for parts in own),
        )
        for label in order
    ]
    rows.append(
        _row(
            "All",
            f"<td>{count(sum(bucket.num_utterances for bucket in timed[0].speed))}</td>",
            *(_bar(one.system.rtfx, most, _rtfx) for one in timed),
            kind="sum",
        )
    )
    return _table("Speed by duration", {"Duration": "", "Utterances": ""} | _columns(timed, "rtfx"), rows) + (
        '<p class="note">rtfx: seconds of audio per second of work, higher is better. '
        "Reading the files does not count.</p>"
    )


def tasks(analyses: Sequence[SystemAnalysis]) -> str:
    """Accuracy and confusion matrix of each task with labels, and the error of word times."""
    parts = [
        f"<div><h3>{escape(task.task)} · {escape(one.system.name)}</h3>"
        f"<p>{percent(task.accuracy)} of {count(task.num_answers)} answers are right.</p>{_matrix(task)}</div>"
        for one in analyses
        for task in one.system.tasks
    ]
    parts += [
        f"<div><h3>Word times · {escape(one.system.name)}</h3>"
        f"<p>Median error of starts and ends: {1000 * one.system.median_word_time_error:.0f} ms.</p></div>"
        for one in analyses
        if one.system.median_word_time_error is not None
    ]
    return f'<div class="tables">{"".join(parts)}</div>' if parts else ""


def _matrix(task: LabelScore) -> str:
    given = list(dict.fromkeys([*task.labels, *sorted({label for _, label in task.confusions})]))
    rows = (
        _row(
            escape(right),
            *(
                f"<td{' class=hit' if label == right else ''}>{count(task.confusions.get((right, label), 0))}</td>"
                for label in given
            ),
        )
        for right in task.labels
    )
    return _table("Confusion matrix", {"Right": ""} | {label or "no label": "" for label in given}, rows)


def settings(analyses: Sequence[SystemAnalysis], further: Mapping[str, object]) -> str:
    """What the numbers depend on."""
    system = analyses[0].system
    facts: dict[str, object] = {
        "set": system.dataset,
        "normaliser": system.normalizer,
        "scorer": system.scorer,
        "intervals": f"bootstrap over each {system.interval_unit}",
    }
    facts |= {str(key).replace("_", " "): value for key, value in (system.settings | dict(further)).items()}
    pairs = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>"
        for key, value in facts.items()
        if value not in (None, "")
    )
    return f'<dl class="facts-list">{pairs}</dl>'


def _system_choice(name: str, analyses: Sequence[SystemAnalysis]) -> str:
    """Buttons that leave one system's panel; the script shows them."""
    if len(analyses) == 1:
        return ""
    options = "".join(
        f'<label><input type="radio" name="{name}-system" value="{number}"{" checked" if not number else ""}>'
        f"<span>{escape(one.system.name)}</span></label>"
        for number, one in enumerate(analyses)
    )
    return f'<fieldset class="choice" hidden><legend>System</legend>{options}</fieldset>'


def _columns(analyses: Sequence[SystemAnalysis], measure: str) -> dict[str, str]:
    """Heads of one column a system: its name, or what is measured where there is one only."""
    return {one.system.name: measure for one in analyses} if len(analyses) > 1 else {measure: ""}


def _table(caption: str, heads: Mapping[str, str], rows: Iterable[str], kind: str = "") -> str:
    """A table that scrolls on its own where the screen is narrow; `heads` are titles with their explanation."""
    cells = "".join(
        f'<th scope="col" title="{escape(hint)}">{escape(title)}</th>'
        if hint
        else f'<th scope="col">{escape(title)}</th>'
        for title, hint in heads.items()
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="{kind}">'
        f"<caption>{escape(caption)}</caption><thead><tr>{cells}</tr></thead>\n<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(head: str, *cells: str, kind: str = "") -> str:
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return f'{opening}<th scope="row">{head}</th>{"".join(cells)}</tr>\n'


def _bar(value: float, most: float, write: Callable[[float], str]) -> str:
    return f'<td class="bar" style="--share:{_share(value, most)}">{write(value)}</td>'


def _share(value: float, most: float) -> str:
    return f"{min(value / most, 1.0) if most else 0.0:.4f}"


def _rtfx(value: float) -> str:
    return f"{value:.1f}" if value else "–"
