"""What an evaluation says on the console: a line for each sample, a block for every hundred, one at the end."""

from collections import defaultdict
from collections.abc import Sequence

from tiny_audio.evaluation.bootstrap import Comparison, Interval
from tiny_audio.evaluation.labels import LabelScore
from tiny_audio.evaluation.results import ScoredUtterance, SystemResult
from tiny_audio.evaluation.wer import ErrorCounts, pool

_RULE = "=" * 80
CHECKPOINT_EVERY = 100
_MAX_NAMED = 10
"""Failures that are named; the rest are in the files."""


class SampleLog:
    """Lines for each sample, and the running block; the words of a sample are counted in it once."""

    def __init__(self) -> None:
        self.num_samples = 0
        self._counts = ErrorCounts()
        self._seconds = 0.0

    def add(self, utterance: ScoredUtterance) -> str:
        """What to print for one more sample."""
        self.num_samples += 1
        self._seconds += utterance.result.wall_seconds
        if utterance.is_speech:
            self._counts += utterance.counts
        lines = [_sample(self.num_samples, utterance)]
        if self.num_samples % CHECKPOINT_EVERY == 0:
            average = self._seconds / self.num_samples
            lines += [
                _RULE,
                f"CHECKPOINT @ {self.num_samples} samples:",
                f"  Corpus WER: {_percent(self._counts.wer)}",
                f"  Avg Time/Sample: {average:.2f}s",
                _RULE,
            ]
        return "\n".join(lines)


def format_result(result: SystemResult) -> str:
    """The block at the end: the rate with its interval, kinds of error, what failed, speed."""
    lines = [_RULE, f"FINAL: {result.name} on {result.dataset or 'these utterances'}"]
    if result.utterances:
        lines += _transcription_lines(result)
    for task in result.tasks:
        lines += _label_lines(task)
    return "\n".join([*lines, _RULE])


def format_groups(result: SystemResult, field: str) -> str:
    """Word error rate for each value of a field of the manifest, the worst first."""
    groups: defaultdict[str, list[ScoredUtterance]] = defaultdict(list)
    for utterance in result.speech:
        own = {"speaker": utterance.result.speaker, "recording": str(utterance.result.audio or "")}
        groups[str(own.get(field, utterance.result.extra.get(field, "")))].append(utterance)
    counts = {value: pool(one.counts for one in rows) for value, rows in groups.items()}
    width = max(len(field), *(len(value) for value in counts), len("(none)"))
    lines = [f"{field:<{width}}  {'WER':>8}  {'words':>7}  {'samples':>7}"]
    for value in sorted(counts, key=lambda value: (-counts[value].wer, value)):
        one = counts[value]
        lines.append(
            f"{value or '(none)':<{width}}  {_percent(one.wer):>8}  {one.reference_words:>7}  {len(groups[value]):>7}"
        )
    return "\n".join(lines)


def format_comparison(results: Sequence[SystemResult], comparisons: Sequence[Comparison]) -> str:
    """A table of systems; each after the first with its difference to the first, in percentage points.

    Args:
        results: two systems or more.
        comparisons: of each but the first, with the first.
    """
    width = max(len(result.name) for result in results)
    difference = f"Difference (paired, by {results[0].interval_unit})"
    lines = [f"{'System':<{width}}  {'WER':>8}  {'95% CI':>14}  {'CER':>8}  {'rtfx':>7}  {difference:<36}  P(better)"]
    for result, comparison in zip(results, [None, *comparisons], strict=True):
        line = f"{result.name:<{width}}  {_percent(result.wer):>8}  {_ends(result.wer_interval):>14}  "
        line += f"{_percent(result.cer):>8}  {result.rtfx:>7.1f}"
        if comparison:
            verdict = "better" if comparison.is_better else "worse" if comparison.is_worse else "not significant"
            difference = f"{100 * comparison.difference:+.2f} [{_ends(comparison.interval)}] {verdict}"
            line += f"  {difference:<36}  {comparison.probability_of_improvement:>9.1%}"
        lines.append(line)
    return "\n".join(lines)


def _sample(number: int, utterance: ScoredUtterance) -> str:
    result = utterance.result
    if utterance.failed:
        score = f"FAILED ({result.problem})"
    elif utterance.is_speech:
        score = f"WER = {_percent(utterance.counts.wer)}, Time = {result.wall_seconds:.2f}s"
    else:
        score = f"{utterance.counts.insertions} words invented, Time = {result.wall_seconds:.2f}s"
    return f"Sample {number}: {score}\n  Ref:  {result.reference}\n  Pred: {result.hypothesis}"


def _transcription_lines(result: SystemResult) -> list[str]:
    counts = result.counts
    words = max(counts.reference_words, 1)
    kinds = " / ".join(_percent(kind / words) for kind in (counts.substitutions, counts.deletions, counts.insertions))
    lines = [
        f"  Corpus WER: {_percent(counts.wer)}  [95% CI {_ends(result.wer_interval)}, by {result.interval_unit}]",
        f"  S/D/I: {kinds}  ({counts.errors} errors / {counts.reference_words} words, {len(result.speech)} samples)",
        f"  CER: {_percent(result.cer)}  SER: {_percent(result.sentence_error_rate)}",
    ]
    if result.has_draft:
        gain = f"what follows changes its errors by {-100 * result.relative_gain:+.1f}%"
        lines.append(f"  CTC draft alone: WER {_percent(result.draft_counts.wer)}  ({gain})")
    if result.non_speech:
        lines.append(
            f"  Without words: {len(result.non_speech)} samples, {result.invented_words} words invented, "
            f"{result.invented_words_per_minute:.1f} a minute"
        )
    if failures := result.failures:
        lines.append(f"  Failed: {len(failures)} samples, their words count as deleted")
        lines += [f"    {failure.id}: {failure.problem}" for failure in failures[:_MAX_NAMED]]
    average = result.wall_seconds / max(len(result.utterances) - len(failures), 1)
    return [
        *lines,
        f"  Avg Time/Sample: {average:.2f}s  rtfx: {result.rtfx:.1f}  "
        f"({result.audio_seconds:.1f} s of audio in {result.wall_seconds:.1f} s)",
        f"  Counted with: normalizer {result.normalizer}, scorer {result.scorer}",
    ]


def _label_lines(task: LabelScore) -> list[str]:
    """Accuracy, and the confusions as rows: what was right -> what was said."""
    wrong = {pair: count for pair, count in task.confusions.items() if pair[0] != pair[1]}
    lines = [f"  {task.task}: {_percent(task.accuracy)} of {task.num_answers} answers are right"]
    for (expected, given), count in sorted(wrong.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"    {expected} -> {given or '(no label)'}: {count}")
    return lines


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f}%"


def _ends(interval: Interval) -> str:
    """Both ends in percent."""
    return f"{100 * interval.low:.2f}, {100 * interval.high:.2f}"
