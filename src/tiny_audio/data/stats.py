"""What there is in manifests: hours, speakers, durations, words, and how it was recorded."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiny_audio.audio.io import open_audio
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.tar_members import open_recording
from tiny_audio.errors import AudioError
from tiny_audio.text.normalizers import get_normalizer
from tiny_audio.types import Seconds

_EDGES: tuple[Seconds, ...] = (0, 1, 2, 3, 5, 7.5, 10, 15, 20, 30)
"""Lower ends of the histogram's bars; Whisper hears 30 s at once."""
_BAR = 40
UNREADABLE = 0
"""The sample rate of what cannot be read."""


@dataclass(frozen=True, kw_only=True)
class CorpusStats:
    """Counts of a set of utterances. `words` are those of the text without case and punctuation."""

    num_utterances: int
    num_recordings: int
    duration: Seconds
    durations: Mapping[str, Seconds]
    """Shortest, 10 %, median, 90 % and longest."""
    histogram: Mapping[Seconds, int]
    """Lower end -> number of utterances."""
    speakers: Mapping[str, Seconds]
    """Duration of each speaker; those of unknown ones are under the empty name."""
    num_without_text: int
    num_words: int
    words_per_second: float
    """Over the utterances with text."""
    characters_per_second: float
    """Of the text as it is written."""
    vocabulary: Mapping[str, int]
    """Each word and how often it occurs, the most frequent first."""
    languages: Mapping[str, int]
    tasks: Mapping[str, int]
    sample_rates: Mapping[int, int]
    """Hz -> recordings; `UNREADABLE` for those that cannot be opened."""


def corpus_stats(utterances: Sequence[Utterance], *, sample_rates: Mapping[int, int] | None = None) -> CorpusStats:
    """Count; opens no audio (see `count_sample_rates`)."""
    normalize = get_normalizer("basic")
    durations = np.array([utterance.duration for utterance in utterances] or [0.0])
    speakers: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for utterance in utterances:
        speakers[utterance.speaker] += utterance.duration  # type: ignore[assignment]
        words.update(normalize(utterance.text).split())
    spoken = [utterance for utterance in utterances if utterance.text.strip()]
    speech = sum(utterance.duration for utterance in spoken) or 1.0
    bars = np.histogram(durations, bins=[*_EDGES, np.inf])[0] if utterances else np.zeros(len(_EDGES), int)
    names = {"shortest": 0, "10 %": 10, "median": 50, "90 %": 90, "longest": 100}
    return CorpusStats(
        num_utterances=len(utterances),
        num_recordings=len({utterance.audio for utterance in utterances}),
        duration=float(durations.sum()),
        durations={name: float(np.percentile(durations, share)) for name, share in names.items()},
        histogram=dict(zip(_EDGES, bars.tolist(), strict=True)),
        speakers=dict(speakers.most_common()),
        num_without_text=len(utterances) - len(spoken),
        num_words=words.total(),
        words_per_second=words.total() / speech,
        characters_per_second=sum(len(utterance.text) for utterance in spoken) / speech,
        vocabulary=dict(words.most_common()),
        languages=Counter(utterance.language for utterance in utterances if utterance.language),
        tasks=Counter(utterance.task for utterance in utterances if utterance.task),
        sample_rates=sample_rates or {},
    )


def count_sample_rates(recordings: Iterable[Path]) -> dict[int, int]:
    """Recordings of each sample rate, by their headers."""
    rates: Counter[int] = Counter()
    for recording in recordings:
        try:
            with open_audio(open_recording(recording)) as stream:
                rates[stream.sample_rate] += 1
        except AudioError:
            rates[UNREADABLE] += 1
    return dict(rates.most_common())


def format_stats(stats: CorpusStats, *, max_named: int = 10) -> str:
    """A page of text; of speakers and words, the `max_named` most frequent are named."""
    known = {name: duration for name, duration in stats.speakers.items() if name}
    unknown = stats.speakers.get("", 0.0)
    lines = [
        f"utterances    {stats.num_utterances:,} in {stats.num_recordings:,} recordings, {_hours(stats.duration)}",
        "durations     " + ", ".join(f"{name} {value:.2f} s" for name, value in stats.durations.items()),
        *_bars(stats.histogram),
        f"speakers      {len(known):,}" + (f", and {_hours(unknown)} of unknown ones" if unknown else ""),
        *_named({name: _hours(duration) for name, duration in known.items()}, max_named),
        f"words         {stats.num_words:,}, {stats.words_per_second:.2f} a second; "
        f"{stats.characters_per_second:.1f} characters a second",
        f"vocabulary    {len(stats.vocabulary):,} words, "
        f"{sum(count == 1 for count in stats.vocabulary.values()):,} of them once",
        *_named({word: f"{count:,}" for word, count in stats.vocabulary.items()}, max_named),
        f"without text  {stats.num_without_text:,}" if stats.num_without_text else "",
        "languages     " + ", ".join(f"{name} {count:,}" for name, count in stats.languages.items())
        if stats.languages
        else "",
        "tasks         " + ", ".join(f"{name} {count:,}" for name, count in stats.tasks.items()) if stats.tasks else "",
        "sample rates  " + ", ".join(_rate(rate, count) for rate, count in stats.sample_rates.items())
        if stats.sample_rates
        else "",
    ]
    return "\n".join(line for line in lines if line)


def _bars(histogram: Mapping[Seconds, int]) -> list[str]:
    """A bar for each range of durations, without the empty ranges at either end."""
    filled = [index for index, count in enumerate(histogram.values()) if count]
    if not filled:
        return []
    most = max(histogram.values())
    edges = [*histogram, None]
    lines = []
    for index, count in list(enumerate(histogram.values()))[filled[0] : filled[-1] + 1]:
        end = edges[index + 1]
        span = f"{edges[index]:g} s and more" if end is None else f"{edges[index]:g} - {end:g} s"
        lines.append(f"{span:>16} {count:>8,} {'#' * -(-count * _BAR // most)}".rstrip())
    return lines


def _named(values: Mapping[str, str], max_named: int) -> list[str]:
    named = [f"{name} {value}" for name, value in list(values.items())[:max_named]]
    rest = f", and {len(values) - max_named:,} more" if len(values) > max_named else ""
    return [f"{'':14}{', '.join(named)}{rest}"] if named else []


def _rate(rate: int, count: int) -> str:
    return f"{count:,} unreadable" if rate == UNREADABLE else f"{rate:,} Hz {count:,}"


def _hours(duration: Seconds) -> str:
    return f"{duration / 3600:.2f} h" if duration >= 360 else f"{duration / 60:.1f} min"
