"""Word times: peaks of the CTC say when words begin, pauses in the waveform say where they end.

A CTC posterior is a peak at the beginning of a token and silent about its end. Measured on joined clips of several
speakers (`experiments/LOG.md`): the peak of a word's first token lies 0.08 s behind the word's onset, give or take
0.03 s. So a word starts that much before its peak and lasts until the next one starts, or until a pause; where a pause
ends close to an onset, its end is the onset.

Works for any text of the same audio: the recogniser's, the CTC's own, or plain Whisper's.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_audio.audio.timebase import HOP_LENGTH, samples_to_seconds
from tiny_audio.audio.vad import find_pauses, frame_levels_db
from tiny_audio.models.ctc_alignment import TokenSpan
from tiny_audio.models.words import Word
from tiny_audio.types import Seconds, Waveform

ONSET_LAG: Seconds = 0.08
"""From a word's onset to the peak of its first token."""
_UNHEARD_LOG_PROB = -10.0
"""Below this the CTC heard nothing like the token, and where it stands means nothing."""
_SNAP: Seconds = 0.12
"""A pause that ends this close to an onset ends at that onset."""
_MIN_PAUSE: Seconds = 0.08
_LONG_PAUSE: Seconds = 0.25
"""Longer than the closure of any consonant: the word is over, whatever follows the pause."""
_MAX_TAIL: Seconds = 0.8
"""A word ends at most this long after the onset of its last token: noise that follows is not part of it."""


def word_times(
    words: Sequence[str],
    spans: Sequence[Sequence[TokenSpan]],
    waveform: Waveform,
    *,
    frame_duration: Seconds,
) -> list[Word]:
    """Time every word; they do not overlap, and lie within the waveform.

    A word that the CTC did not hear, or without spans, shares the time between its neighbours by its letters.

    Args:
        words: the text, split at spaces.
        spans: `ctc_alignment.align_words` of each word.
        waveform: what the words were said in, 16 kHz.
        frame_duration: time from one CTC frame to the next.
    """
    if not words:
        return []
    duration = samples_to_seconds(len(waveform))
    pauses = [
        (start * samples_to_seconds(HOP_LENGTH), min(end * samples_to_seconds(HOP_LENGTH), duration))
        for start, end in find_pauses(frame_levels_db(waveform), min_duration=_MIN_PAUSE)
    ]
    starts = _starts(words, spans, pauses, duration, frame_duration)
    # From here on the end of the audio is the start of a word that is not there.
    ends = np.append(starts[1:], duration)
    for index, word_spans in enumerate(spans):
        last_onset = starts[index]
        if _is_heard(word_spans):
            last_onset = max(word_spans[-1].centre * frame_duration - ONSET_LAG, last_onset)
        for pause_start, pause_end in pauses:
            closes = pause_end >= ends[index] - _SNAP or pause_end - pause_start >= _LONG_PAUSE
            if closes and last_onset < pause_start < ends[index]:
                ends[index] = pause_start
                break
        ends[index] = min(ends[index], last_onset + _MAX_TAIL)
    return [
        Word(text=text, start=float(start), end=float(end), confidence=_confidence(word_spans))
        for text, word_spans, start, end in zip(words, spans, starts, ends, strict=True)
    ]


def _starts(
    words: Sequence[str],
    spans: Sequence[Sequence[TokenSpan]],
    pauses: Sequence[tuple[Seconds, Seconds]],
    duration: Seconds,
    frame_duration: Seconds,
) -> NDArray[np.float64]:
    """Onset of every word, never before that of the word in front of it."""
    letters = np.cumsum([0, *(len(word) for word in words)])
    # What is not silence at either end, for words there that were not heard.
    first = pauses[0][1] if pauses and pauses[0][0] == 0.0 else 0.0
    last = pauses[-1][0] if pauses and pauses[-1][1] == duration else duration
    heard = [index for index, word_spans in enumerate(spans) if _is_heard(word_spans)]
    onsets = np.array([spans[index][0].centre * frame_duration - ONSET_LAG for index in heard])
    onsets = _snap(np.clip(onsets, 0.0, duration), pauses)
    anchors, times = [*heard, len(words)], [*onsets, max(last, *onsets[-1:], 0.0)]
    if 0 not in heard:
        anchors, times = [0, *anchors], [min(first, times[0]), *times]
    return np.interp(letters[:-1], letters[anchors], times)


def _is_heard(spans: Sequence[TokenSpan]) -> bool:
    return bool(spans) and spans[0].log_prob > _UNHEARD_LOG_PROB


def _snap(onsets: NDArray[np.float64], pauses: Sequence[tuple[Seconds, Seconds]]) -> NDArray[np.float64]:
    """Move the onset that is nearest to the end of a pause there, if it is close; the order stays."""
    snapped = onsets.copy()
    for _, end in pauses if len(onsets) else []:
        nearest = int(np.argmin(np.abs(onsets - end)))
        if abs(onsets[nearest] - end) <= _SNAP:
            snapped[nearest] = end
    return snapped


def _confidence(spans: Sequence[TokenSpan]) -> float:
    """Geometric mean of the tokens' posteriors."""
    return float(np.exp(np.mean([span.log_prob for span in spans]))) if _is_heard(spans) else 0.0
