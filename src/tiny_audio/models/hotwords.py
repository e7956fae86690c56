"""Words that are likely to be said: each may stand in for what was heard, where the sound allows it.

A name that the CTC never saw is rarely among its hypotheses, and the language model does not guess it. So the text that
both would choose is written again with a hotword in the place of a few words that are spelled a little like it; the CTC
says how well each of these fits the sound, and the few that fit best become candidates.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

import torch

from tiny_audio.models.joint_decoding import ctc_log_probs
from tiny_audio.models.posteriors import FramePosteriors
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.text.prompts import Tokenizer

_WINDOWS = (1, 2, 3)
"""Words that a hotword may replace."""
_MIN_LIKENESS = 0.4
"""Of the letters of a hotword and of what it replaces; "center" and "sender" have 0.67, "trigger" and "toggle" 0.46."""
_MAX_LOSS = 20.0
"""Natural-log probability that the CTC may give a candidate less than the text; no language model makes up for more."""
_MAX_CANDIDATES = 6


def count_hotwords(text: str, hotwords: Sequence[str]) -> int:
    """How many of them stand in the text as whole words, whatever their case."""
    plain = f" {' '.join(_plain(word) for word in text.split())} "
    return sum(f" {' '.join(_plain(word) for word in hotword.split())} " in plain for hotword in hotwords)


def with_hotwords(text: str, hotwords: Sequence[str]) -> list[str]:
    """The text with each hotword in each place where it might have been said."""
    words = text.split()
    windows = [(start, start + size) for size in _WINDOWS for start in range(len(words) - size + 1)]
    spelled = ["".join(_plain(word) for word in words[start:end]) for start, end in windows]
    variants: dict[str, None] = {}  # a set that keeps the order
    for hotword in hotwords:
        if count_hotwords(text, [hotword]):
            continue
        # The matcher remembers what it knows of its second text.
        matcher = SequenceMatcher(b="".join(_plain(part) for part in hotword.split()), autojunk=False)
        for (start, end), letters in zip(windows, spelled, strict=True):
            matcher.set_seq1(letters)
            if matcher.real_quick_ratio() < _MIN_LIKENESS or matcher.quick_ratio() < _MIN_LIKENESS:
                continue
            if matcher.ratio() >= _MIN_LIKENESS:
                last = words[end - 1]
                marks = last[len(last.rstrip(".,;:!?")) :]
                variants[" ".join([*words[:start], hotword + marks, *words[end:]])] = None
    return list(variants)


def hotword_candidates(
    text: str,
    hotwords: Sequence[str],
    one: Projected,
    posteriors: FramePosteriors,
    table_VE: torch.Tensor,
    tokenizer: Tokenizer,
    *,
    beside: float,
) -> dict[str, float]:
    """The variants of `text` that fit the sound best, with their CTC log-probability; `beside` is that of the text."""
    variants = with_hotwords(text, hotwords)
    known = ctc_log_probs([text, *variants], one, posteriors, table_VE, tokenizer)
    scores = {variant: known[variant] for variant in variants if variant in known}
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:_MAX_CANDIDATES]
    return {variant: scores[variant] for variant in best if scores[variant] > beside - _MAX_LOSS}


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())
