"""Evidence for and against a text: is anything said at all, does the text run in a loop, does it fit the audio?

A guard never edits a text. It gives numbers, and `check_text` chooses between two whole texts: that of the language
model, and the CTC draft, which cannot contain more than was in the audio.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tiny_audio.audio.timebase import HOP_LENGTH, samples_to_seconds
from tiny_audio.audio.vad import find_pauses, frame_levels_db
from tiny_audio.models.clarity import CLEAR_POSTERIOR, MIN_LETTERS, Clarity
from tiny_audio.text.normalizers import normalize_english
from tiny_audio.types import Seconds, Waveform

NO_SPEECH_THRESHOLD = 0.6
"""`no_speech_prob` from which on a text is not believed; Whisper's number too."""
_TYPICAL_POSTERIOR, _TYPICAL_RATE = 0.42, 0.45
"""Halfway between speech and non-speech, see `no_speech_prob`."""
_LETTER_RATE = 1.5
"""The same for letters, see `letters_no_speech_prob`; of their posterior it is `CLEAR_POSTERIOR`."""
_LONG_PAUSE: Seconds = 1.0
_MIN_REPEATS = 4
_MIN_REPEATED_WORDS, _MIN_REPEATED_LETTERS = 8, 24
"""A phrase is there four times, and eight words more than if it stood once: "no no no no" is no loop. Within a word, 24
letters more: neither are a million's zeros."""
_MAX_PERIOD = 20
_MAX_DISAGREEMENT = 0.6
_MIN_DISPUTED_WORDS = 3


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A phrase that a text repeats again and again without a break."""

    phrase: str
    count: int


def find_loop(text: str, *, heard: str = "") -> Loop | None:
    """The longest loop of words, or else of letters in a word; None if there is none, or if it was really said.

    Args:
        text: as written; case and punctuation do not matter.
        heard: the CTC draft of the same audio. It has a peak for each time that a word is said, so a phrase that it has
            at least half as often was repeated by the speaker.
    """
    words = _plain_words(text)
    loop = _longest_loop(words, _MIN_REPEATED_WORDS, " ")
    for word in words:
        loop = loop or _longest_loop(word, _MIN_REPEATED_LETTERS, "")
    if loop is None or f" {' '.join(_plain_words(heard))} ".count(loop.phrase) >= loop.count / 2:
        return None
    return loop


def compression_ratio(text: str) -> float:
    """Bytes by compressed bytes (zlib), as Whisper computes it: prose has 1 to 2, a loop more than 2.4; 0 if empty."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def avg_logprob(log_prob: float, num_tokens: int) -> float:
    """Mean natural-log probability of a token, the end of the text counted as one, as Whisper computes it."""
    return log_prob / (num_tokens + 1)


def active_duration(waveform: Waveform) -> Seconds:
    """Sound in a waveform: all but its pauses of a second and more."""
    levels = frame_levels_db(waveform)
    num_hops = len(levels) - sum(end - start for start, end in find_pauses(levels, min_duration=_LONG_PAUSE))
    return samples_to_seconds(num_hops * HOP_LENGTH)


def no_speech_prob(
    log_blank_A: NDArray[np.floating],
    log_best_A: NDArray[np.floating],
    active: Seconds,
    *,
    speech_prob: float | None = None,
) -> float:
    """Probability that nothing is said, from how sure the CTC is and how much it hears for so much sound.

    On music and noise the CTC emits a token now and then, never surely; a speaker is dense and clear. So two things
    must be typical of speech: the mean posterior of what is emitted (0.42 or more), and that times the number of tokens
    in a second of sound (at least 0.45).

    Args:
        log_blank_A: log-probability of the blank in each CTC frame.
        log_best_A: that of the frame's likeliest token.
        active: `active_duration` of the waveform; a word in a minute of silence is a word.
        speech_prob: the highest probability that a voice activity detector gives to a part of the waveform, if there
            is one; counts as much as the CTC where both are in doubt.
    """
    is_token_A = log_best_A > log_blank_A
    if not is_token_A.any() or active <= 0:
        return 1.0
    posterior = float(log_best_A[is_token_A].mean())
    rate = math.log(max(float(-np.expm1(log_blank_A).sum()) / active, 1e-9))
    speech_logit = 4.0 * min(posterior - math.log(_TYPICAL_POSTERIOR), posterior + rate - math.log(_TYPICAL_RATE))
    if speech_prob is not None:
        bounded = min(max(speech_prob, 0.05), 0.95)  # a detector may be sure and wrong
        speech_logit += math.log(bounded / (1 - bounded))
    return 1 / (1 + math.exp(min(speech_logit, 50.0)))


def letters_no_speech_prob(clarity: Clarity, active: Seconds) -> float:
    """Probability that nothing is said, from the letters: also a single word of half a second has clear ones.

    Noise and tones sound like few letters or like doubtful ones. So again two things must be typical of speech: the
    mean posterior of the letters (0.65 or more), and that times the number of them in a second of sound (at least 1.5).

    Args:
        clarity: of the letters of the utterance.
        active: `active_duration` of the waveform.
    """
    if clarity.num_letters < MIN_LETTERS or active <= 0:
        return 1.0
    posterior, rate = clarity.mean_log_prob, math.log(clarity.num_letters / active)
    speech_logit = 4.0 * min(posterior - math.log(CLEAR_POSTERIOR), posterior + rate - math.log(_LETTER_RATE))
    return 1 / (1 + math.exp(min(speech_logit, 50.0)))


def disagreement(text: str, draft: str) -> float:
    """Share of words that the two do not have in common: 0 the same words in the same order, 1 nothing in common."""
    left, right = _words(text), _words(draft)
    if not left and not right:
        return 0.0
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    return 1.0 - sum(block.size for block in matcher.get_matching_blocks()) / max(len(left), len(right))


Reason = Literal["loop", "disagreement"]


@dataclass(frozen=True, kw_only=True)
class CheckedText:
    """The text to use, and why it is doubtful, if it is."""

    text: str
    reason: Reason | None = None

    @property
    def flagged(self) -> bool:
        """Whether a person should look at it."""
        return self.reason is not None


def check_text(text: str, draft: str | None, *, spelt: str = "") -> CheckedText:
    """Take the text that was decided on, or the CTC draft with a flag where the text cannot be what was said.

    Args:
        text: what was decided on.
        draft: what the CTC heard; None where there is no CTC: then a loop stays as it is, with the flag.
        spelt: the likeliest letters, of a CTC over characters; a text that agrees with them was said, too.
    """
    if find_loop(text, heard=draft or ""):
        return CheckedText(text=text if draft is None else draft, reason="loop")
    if draft is None:
        return CheckedText(text=text)
    num_words = max(len(_words(text)), len(_words(draft)))
    # Of one or two words all may be spelled otherwise; from three on, most of them are the same.
    disputed = min(disagreement(text, heard) for heard in ([draft, spelt] if spelt else [draft]))
    if num_words >= _MIN_DISPUTED_WORDS and disputed > _MAX_DISAGREEMENT:
        return CheckedText(text=draft, reason="disagreement")
    return CheckedText(text=text)


def _words(text: str) -> list[str]:
    """Words as they are compared for errors: "four" and "4" are the same."""
    return normalize_english(text).split()


def _plain_words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.casefold().replace("'", "")).split()


def _longest_loop(units: Sequence[str], min_repeated: int, separator: str) -> Loop | None:
    best, most = None, min_repeated - 1
    for period in range(1, min(len(units) // _MIN_REPEATS, _MAX_PERIOD) + 1):
        start = 0
        for end in range(period, len(units) + 1):
            if end < len(units) and units[end] == units[end - period]:
                continue
            # units[start:end] is the longest stretch around here that repeats with this period
            count = (end - start) // period
            if count >= _MIN_REPEATS and (count - 1) * period > most:
                best, most = (
                    Loop(phrase=separator.join(units[start : start + period]), count=count),
                    (count - 1) * period,
                )
            start = end - period + 1
    return best
