"""Verdicts: from a measured number to what it means, in words.

Every function judges one number and knows nothing of where it came from. The ranges are wide on purpose: what is
inside may be good or bad, what is outside has been a mistake. A verdict names the next step.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from tiny_audio.training.history import RunHistory, Series

Severity = Literal["healthy", "watch", "ill"]
_MIN_POINTS = 16
"""Logged losses without which nothing is said about their trend."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    expected: str
    severity: Severity
    verdict: str


def audio_gap(name: str, right: Sequence[float], other: Sequence[float]) -> Finding:
    """Whether the loss knows which recording it is given.

    Args:
        name: of the loss.
        right: loss of each text with its own recording.
        other: with another recording of about the same length.
    """
    right_mean, other_mean = fmean(right), fmean(other)
    gaps = [wrong - own for own, wrong in zip(right, other, strict=True)]
    error = stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else 0.0
    share = 1 - right_mean / other_mean if other_mean > 0 else 0.0
    losses = f"loss with the right recording {right_mean:.2f}, with another one {other_mean:.2f}"
    severity: Severity = "healthy"
    verdict = f"it listens: {losses}"
    if share < 0.05 or fmean(gaps) < 2 * error:
        severity = "ill"
        verdict = (
            f"the model ignores the audio: {losses}; too early, a learning rate that is too low, or texts that are not "
            "those of their recordings"
        )
    elif share < 0.25:
        severity, verdict = "watch", f"it hears little: {losses}; train on, and look whether the gap grows"
    return Finding(
        name=f"audio gap ({name})",
        found=f"{fmean(gaps):.2f} ± {error:.2f}",
        expected=f"> {0.25 * other_mean:.2f}",
        severity=severity,
        verdict=verdict,
    )


def output_scale(ratio: float) -> Finding:
    """Loudness of what the language model reads of the audio, as a multiple of its embedding table's."""
    severity: Severity = "healthy"
    verdict = "as loud as text"
    if not 0.3 <= ratio <= 3:
        severity = "watch" if 0.1 <= ratio <= 10 else "ill"
        verdict = (
            f"{ratio:.3g} times as loud as text, which the language model has never read; "
            f"{'lower' if ratio > 1 else 'raise'} model.projector.output_scale or the learning rate of the projector"
        )
        if ratio == 0:
            verdict = "the projector's output is zero: the language model reads nothing; start from another checkpoint"
    return Finding(name="output scale", found=f"{ratio:.3g}", expected="0.3 to 3", severity=severity, verdict=verdict)


def nearest_tokens(tokens: Sequence[str], *, blank: str) -> Finding:
    """Whether the audio tokens of one utterance differ; blanks do not count."""
    said = [token for token in tokens if token != blank]
    share = max((said.count(token) for token in set(said)), default=0) / max(len(said), 1)
    severity: Severity = "healthy"
    verdict = f"{len(set(said))} different ones: {' '.join(tokens)}"
    if not said:
        severity, verdict = "ill", f"none of {len(tokens)}: all of the utterance is blank"
    elif share > 0.8 and len(said) > 4:
        severity, verdict = "ill", f"collapsed: most of the utterance is {said[0]!r}, whatever is said"
    return Finding(
        name="nearest tokens", found=f"{len(set(said))}", expected="several", severity=severity, verdict=verdict
    )


def blank_rate(rate: float, labels_per_frame: float) -> Finding:
    """Share of the CTC's frames that are blank; at least one frame a label must not be."""
    highest = 1 - 0.5 * labels_per_frame
    severity: Severity = "healthy"
    verdict = f"room for the {labels_per_frame:.2f} labels a frame that the texts have"
    if rate > highest:
        severity = "ill" if rate > 0.99 else "watch"
        verdict = (
            "all blank: the CTC writes nothing. Usual in the first hundreds of steps; later, raise the learning rate"
            if rate > 0.99
            else f"more blanks than texts of {labels_per_frame:.2f} labels a frame leave: words are left out"
        )
    elif rate < 0.01:
        severity, verdict = "watch", "never blank: the CTC is untrained, or its units are too short for its frame rate"
    return Finding(
        name="blank rate",
        found=f"{rate:.0%}",
        expected=f"1 % to {highest:.0%}",
        severity=severity,
        verdict=verdict,
    )


def empty_rate(rate: float) -> Finding:
    """Share of utterances with a text that got none."""
    severity: Severity = "healthy" if rate <= 0.02 else "watch" if rate <= 0.2 else "ill"
    verdict = (
        "nothing is left out" if severity == "healthy" else "speech is answered with an empty text; see blank rate"
    )
    return Finding(name="empty answers", found=f"{rate:.0%}", expected="< 2 %", severity=severity, verdict=verdict)


def gradient(part: str, norm: float) -> Finding:
    """Norm of a part's gradient in one step."""
    severity: Severity = "healthy"
    verdict = "gradient reaches it"
    if not math.isfinite(norm):
        severity, verdict = "ill", "not finite: lower the learning rate, or train in float32"
    elif norm == 0:
        severity, verdict = "ill", f"no gradient reaches the {part}: it cannot learn"
    elif not 1e-6 < norm < 1e3:
        size = "hardly any" if norm < 1 else "far too much"
        severity, verdict = "watch", f"{size} gradient; look at the output scale and the learning rate"
    return Finding(
        name=f"gradient ({part})", found=f"{norm:.3g}", expected="1e-6 to 1e3", severity=severity, verdict=verdict
    )


def learning_rate(rates: Series, *, peak: float | None = None) -> Finding | None:
    """The rate now, and the highest so far; None where none was logged."""
    if not rates:
        return None
    now, highest = rates[-1][1], max(rate for _, rate in rates)
    peak = highest if peak is None else peak
    severity: Severity = "healthy"
    verdict = "past its peak" if now < highest else "at its highest so far"
    if highest < 1e-3 * peak or highest < 1e-8:
        severity, verdict = (
            "ill",
            "practically zero all the time: nothing is learnt; is the warm-up longer than the run?",
        )
    elif now < 0.01 * highest:
        verdict = "at the end of its schedule: training on changes nothing"
    elif now == highest and now < peak:
        verdict = "still warming up"
    return Finding(
        name="learning rate",
        found=f"{now:.2g}, highest {highest:.2g}",
        expected=f"up to {peak:.2g}",
        severity=severity,
        verdict=verdict,
    )


def infeasible(count: int, total: int) -> Finding:
    """Utterances left out because they have more text than CTC can align to their audio."""
    share = count / max(total, 1)
    severity: Severity = "healthy" if share <= 0.005 else "watch" if share <= 0.05 else "ill"
    verdict = (
        "all texts fit into their audio" if not count else f"{count} of {total} are left out; see infeasible.jsonl"
    )
    if severity != "healthy":
        verdict += "; take larger units, less stacking or head_upsample, or mend texts that are not those of the audio"
    return Finding(
        name="infeasible targets", found=f"{share:.2%}", expected="< 0.5 %", severity=severity, verdict=verdict
    )


def data_wait(waits: Series, times: Series) -> Finding | None:
    """Share of the time that the model waits for its data, lately; None where it was not logged.

    Args:
        waits: seconds of a step spent waiting.
        times: seconds of the whole step.
    """
    if not waits or not times:
        return None
    share = sum(wait for _, wait in waits[-20:]) / max(sum(taken for _, taken in times[-20:]), 1e-9)
    severity: Severity = "healthy" if share <= 0.1 else "watch" if share <= 0.3 else "ill"
    verdict = "data are there in time"
    if severity != "healthy":
        verdict = (
            f"the model waits {share:.0%} of the time for data; give --workers, or store features with `data cache`"
        )
    return Finding(name="data wait", found=f"{share:.0%}", expected="< 10 %", severity=severity, verdict=verdict)


def generalisation(train: Sequence[float], unseen: Sequence[float]) -> Finding:
    """Mean loss of utterances that it was trained on, and of others."""
    seen_mean, unseen_mean = fmean(train), fmean(unseen)
    ratio = unseen_mean / max(seen_mean, 1e-6)
    severity: Severity = "healthy"
    verdict = "what it learnt holds for other utterances"
    if unseen_mean - seen_mean > 0.1 and ratio > 2:
        severity = "watch" if ratio <= 5 else "ill"
        verdict = "overfitting: it knows its training data by heart; more data, augmentation, masks or fewer epochs"
    return Finding(
        name="training / validation loss",
        found=f"{seen_mean:.2f} / {unseen_mean:.2f}",
        expected="within twice",
        severity=severity,
        verdict=verdict,
    )


def validation(name: str, wers: Series) -> Finding | None:
    """Error rate on unseen data over the run; None with fewer than two measurements."""
    if len(wers) < 2:
        return None
    best_step, best = min(wers, key=lambda item: item[1])
    now = wers[-1][1]
    severity: Severity = "healthy"
    verdict = "at its best" if now == best else f"best {best:.1%} at step {best_step}"
    if now > 1.1 * best and now - best > 0.01:
        severity = "watch" if now <= 1.5 * best else "ill"
        verdict = (
            f"got worse since step {best_step} ({best:.1%}): overfitting, or too high a rate; use best/, stop earlier"
        )
    elif best >= 0.95 and len(wers) > 2:
        severity, verdict = "watch", "nearly all words are wrong, so far"
    return Finding(name=name, found=f"{now:.1%}", expected="close to its best", severity=severity, verdict=verdict)


def progress(losses: Series, rates: Series) -> Finding | None:
    """Whether the loss still falls: the last quarter of the run beside the quarter before; None at the beginning."""
    if len(losses) < _MIN_POINTS:
        return None
    values = [loss for _, loss in losses]
    quarter = len(values) // 4
    recent, before = values[-quarter:], values[-2 * quarter : -quarter]
    now, was = fmean(recent), fmean(before)
    error = math.hypot(stdev(recent), stdev(before)) / math.sqrt(quarter)
    since = losses[-2 * quarter][0]
    lowest = min(fmean(values[start : start + quarter]) for start in range(0, len(values) - quarter + 1, quarter))
    is_over = bool(rates) and rates[-1][1] < 0.1 * max(rate for _, rate in rates)
    severity: Severity = "healthy"
    verdict = f"the loss falls: {was:.3g} -> {now:.3g}"
    if now > 1.2 * lowest + 2 * error:
        severity, verdict = "ill", f"the loss rises: {lowest:.3g} -> {now:.3g}; lower the learning rate"
    elif now > 0.99 * was - error / 2:
        severity = "healthy" if is_over else "watch"
        verdict = f"flat since step {since} at {now:.3g}" + (
            ", as the schedule ends" if is_over else "; a plateau, or too low a learning rate: see the audio gap"
        )
    return Finding(
        name="progress", found=f"{was:.3g} -> {now:.3g}", expected="falling", severity=severity, verdict=verdict
    )


def judge_history(history: RunHistory, *, peak: float | None = None) -> list[Finding]:
    """All that the logged metrics alone tell."""
    rates = history.series("learning_rate")
    prefix = "grad_norm/"
    norms = {name.removeprefix(prefix): history.last(name) or 0.0 for name in history.names(prefix)}
    found = [
        progress(history.series("loss"), rates),
        learning_rate(rates, peak=peak),
        data_wait(history.series("wait_time"), history.series("step_time")),
        *(validation(name, history.series(name)) for name in history.names("wer/")),
        *(gradient(part, norm) for part, norm in norms.items()),
    ]
    return [finding for finding in found if finding is not None]


def worst(findings: Iterable[Finding]) -> Finding | None:
    """The first of the most severe that are not healthy; None: all are."""
    order: tuple[Severity, ...] = ("ill", "watch")
    return next((one for severity in order for one in findings if one.severity == severity), None)
