"""The page's list of utterances: words aligned, errors marked, the worst first."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

from tiny_audio.evaluation.report.analysis import SystemAnalysis
from tiny_audio.evaluation.report.frequent_errors import is_substitution
from tiny_audio.evaluation.report.hallucinations import CHECKS
from tiny_audio.evaluation.report.wording import amount, count, percent, time_span
from tiny_audio.evaluation.results import ScoredUtterance
from tiny_audio.evaluation.wer import WordPair

_MAX_PAIRS = 400
"""Words shown of one utterance; more are a loop, or a recording that was not cut."""
_MAX_CHARACTERS = 4000
"""The same for a text as it was written."""
_STATES = {
    "wrong": "With errors",
    "right": "Without errors",
    "failed": "No answer",
    "non-speech": "No words said",
}


def worst_first(analyses: Sequence[SystemAnalysis]) -> list[int]:
    """Places of the utterances, most errors of all systems together first; equal ones in the order of the set."""
    errors = [
        sum(one.counts.errors for one in row)
        for row in zip(*(analysis.system.utterances for analysis in analyses), strict=True)
    ]
    return sorted(range(len(errors)), key=lambda place: -errors[place])


def utterance_section(analyses: Sequence[SystemAnalysis], places: Sequence[int], clips: Mapping[str, str]) -> str:
    """The list with its controls, which the script shows; an utterance with a clip has a button to play it."""
    total = len(analyses[0].system.utterances)
    listed = f"All {amount(total, 'utterance')}, those with the most errors first."
    if len(places) < total:
        listed = (
            f"The {count(len(places))} of {amount(total, 'utterance')} with the most errors; all are in results.jsonl."
        )
    if clips:
        listed += f" {amount(len(clips), 'clip')} can be played."
    items = "\n".join(_item(analyses, place, clips) for place in places)
    return (
        f'<p class="note">{listed}</p><p class="legend">'
        '<span><span class="S"><del>said</del> <ins>understood</ins></span> substitution</span>'
        '<span><del class="D">said</del> deletion</span><span><ins class="I">understood</ins> insertion</span></p>'
        f'{_controls(analyses)}<p id="shown" class="note" role="status"></p>\n<ol id="list">\n{items}\n</ol>'
    )


def aligned_words(words: Sequence[WordPair]) -> str:
    """The words of an utterance with its errors as `<del>` and `<ins>`; what was understood right is plain text."""
    parts = []
    for is_right, run in groupby(words[:_MAX_PAIRS], key=_is_right):
        if is_right:
            parts.append(escape(" ".join(said for said, _ in run if said)))
        else:
            parts.extend(_error(said, understood) for said, understood in run)
    if len(words) > _MAX_PAIRS:
        parts.append(f'<span class="quiet">… {amount(len(words) - _MAX_PAIRS, "more word")}, see results.jsonl</span>')
    return " ".join(parts)


def _is_right(pair: WordPair) -> bool:
    said, understood = pair
    return said is not None and understood is not None and not is_substitution(said, understood)


def _error(said: str | None, understood: str | None) -> str:
    if said is None:
        return f'<ins class="I">{escape(understood or "")}</ins>'
    if understood is None:
        return f'<del class="D">{escape(said)}</del>'
    return f'<span class="S"><del>{escape(said)}</del> <ins>{escape(understood)}</ins></span>'


def _controls(analyses: Sequence[SystemAnalysis]) -> str:
    checks = {key: CHECKS[key][0] for key in CHECKS if any(one.hallucination_counts[key] for one in analyses)}
    sorts = {
        "errors": "Most errors",
        "rate": "Highest WER",
        "seconds": "Longest",
        "id": "Id",
        "place": "Order of the set",
    }
    systems = {str(number): one.system.name for number, one in enumerate(analyses)}
    if len(analyses) > 1:
        sorts["spread"] = "Systems differ most"
    return (
        '<form id="controls" role="search" aria-label="Utterances" hidden>'
        '<label class="search">Search<input type="search" id="search" placeholder="word, id or speaker"></label>'
        + _select("filter", "Show", {"": "All"} | _STATES | checks)
        + _select("sort", "Sort", sorts)
        + (_select("system", "Judge by", {"": "All systems"} | systems) if len(analyses) > 1 else "")
        + "</form>"
    )


def _select(name: str, label: str, options: Mapping[str, str]) -> str:
    choices = "".join(f'<option value="{key}">{escape(title)}</option>' for key, title in options.items())
    return f'<label>{label}<select id="{name}">{choices}</select></label>'


def _item(analyses: Sequence[SystemAnalysis], place: int, clips: Mapping[str, str]) -> str:
    row = [analysis.system.utterances[place] for analysis in analyses]
    flags = [analysis.hallucinations.get(row[0].result.id, ()) for analysis in analyses]
    first, num_words = row[0].result, row[0].counts.reference_words
    name = escape(first.id)
    play = ""
    if first.id in clips:
        play = f'<button class="play" type="button" data-clip="{name}" aria-label="Play {name}" hidden></button>'
    facts = [time_span(first.duration) if first.duration else "", escape(first.speaker)]
    facts.append(amount(num_words, "word") if num_words else "no words said")
    keys = ",".join(" ".join([*keys, *_states(one)]) for one, keys in zip(row, flags, strict=True))
    names = [analysis.system.name for analysis in analyses] if len(analyses) > 1 else [""]
    lines = "".join(_line(*one) for one in zip(names, row, flags, strict=True))
    return (
        f'<li data-place="{place}" data-seconds="{first.duration:.3f}" data-words="{num_words}" '
        f'data-errors="{",".join(str(one.counts.errors) for one in row)}" data-keys="{keys}">'
        f'<div class="head">{play}<h3>{name}</h3><span class="facts">{" · ".join(filter(None, facts))}</span></div>'
        f"{lines}<details><summary>As written</summary><dl>{_texts(names, row)}</dl></details></li>"
    )


def _states(utterance: ScoredUtterance) -> list[str]:
    holds = {
        "wrong": not utterance.is_correct,
        "right": utterance.is_correct,
        "failed": utterance.failed,
        "non-speech": not utterance.is_speech,
    }
    return [state for state in _STATES if holds[state]]


def _line(name: str, utterance: ScoredUtterance, flags: Sequence[str]) -> str:
    counts = utterance.counts
    kinds = {"S": counts.substitutions, "D": counts.deletions, "I": counts.insertions}
    score = " ".join(f"{times} {kind}" for kind, times in kinds.items() if times) or "no errors"
    if utterance.is_speech and counts.errors:
        score = f"<b>{percent(counts.wer)}</b> {score}"
    if utterance.failed:
        score = "<b>no answer</b>"
    tags = "".join(f'<span class="tag">{escape(CHECKS[flag][0])}</span>' for flag in flags)
    system = f'<span class="system">{escape(name)}</span>' if name else ""
    problem = f'<span class="problem">{escape(utterance.result.problem)}</span> ' if utterance.failed else ""
    words = aligned_words(utterance.words) or '<span class="quiet">nothing said, nothing understood</span>'
    return (
        f'<div class="line"><p class="score">{system}<span>{score}</span>{tags}</p>'
        f'<p class="aligned">{problem}{words}</p></div>'
    )


def _texts(names: Sequence[str], row: Sequence[ScoredUtterance]) -> str:
    texts = [("Said", row[0].result.reference)]
    for name, one in zip(names, row, strict=True):
        texts.append((name or "Understood", one.result.hypothesis))
        if one.result.draft:
            texts.append((f"{name} CTC draft".strip(), one.result.draft))
    return "".join(f"<dt>{escape(name)}</dt><dd>{_shortened(text)}</dd>" for name, text in texts)


def _shortened(text: str) -> str:
    if not text:
        return '<span class="quiet">nothing</span>'
    return escape(text[:_MAX_CHARACTERS]) + (" …" if len(text) > _MAX_CHARACTERS else "")
