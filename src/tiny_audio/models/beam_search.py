"""CTC prefix beam search: the most probable token sequences, each with the summed probability of its alignments.

After Graves (2012) and Hannun et al. (arXiv 1408.2873), over the few tokens that are likely in a frame. A scorer, such
as an n-gram model, may take part in the choice of prefixes (shallow fusion); without one, the hypotheses are what
others may choose from.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_IMPOSSIBLE = -math.inf


class PrefixScorer(Protocol):
    """What else makes a token sequence likely; natural log, weighted."""

    def extend(self, prefix: tuple[int, ...], token: int) -> float:
        """Of a token behind a prefix."""

    def finish(self, prefix: tuple[int, ...]) -> float:
        """Of nothing more behind it."""


@dataclass(frozen=True, kw_only=True)
class FrameCandidates:
    """What one CTC frame may emit: natural-log probabilities of the blank and of its likeliest tokens."""

    blank: float
    tokens: Sequence[tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class BeamHypothesis:
    """A token sequence and its natural-log probability, summed over alignments that stayed in the beam."""

    token_ids: tuple[int, ...]
    log_prob: float
    score: float
    """The same plus what the scorer says; what hypotheses are ranked by."""


def prefix_beam_search(
    frames: Sequence[FrameCandidates], *, num_beams: int, scorer: PrefixScorer | None = None
) -> list[BeamHypothesis]:
    """The best `num_beams` hypotheses, best first; the empty sequence when there are no frames."""
    bonuses: dict[tuple[int, ...], float] = {(): 0.0}

    def bonus(prefix: tuple[int, ...]) -> float:
        if scorer is None:
            return 0.0
        if prefix not in bonuses:
            bonuses[prefix] = bonus(prefix[:-1]) + scorer.extend(prefix[:-1], prefix[-1])
        return bonuses[prefix]

    # log probability of each prefix, by whether its last frame is a blank or its last token
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, _IMPOSSIBLE)}
    for frame in frames:
        after: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [_IMPOSSIBLE, _IMPOSSIBLE])
        for prefix, (ends_blank, ends_token) in beams.items():
            total = _add(ends_blank, ends_token)
            same = after[prefix]
            same[0] = _add(same[0], total + frame.blank)
            for token, log_prob in frame.tokens:
                longer = after[(*prefix, token)]
                if prefix and prefix[-1] == token:
                    # Without a blank between them two equal tokens are one.
                    same[1] = _add(same[1], ends_token + log_prob)
                    longer[1] = _add(longer[1], ends_blank + log_prob)
                else:
                    longer[1] = _add(longer[1], total + log_prob)
        best = sorted(after.items(), key=lambda item: _add(*item[1]) + bonus(item[0]), reverse=True)[:num_beams]
        beams = {prefix: (ends[0], ends[1]) for prefix, ends in best}
    hypotheses = [
        BeamHypothesis(
            token_ids=prefix,
            log_prob=log_prob,
            score=log_prob + bonus(prefix) + (scorer.finish(prefix) if scorer is not None else 0.0),
        )
        for prefix, ends in beams.items()
        if (log_prob := _add(*ends)) > _IMPOSSIBLE
    ]
    return sorted(hypotheses, key=lambda hypothesis: hypothesis.score, reverse=True)


def _add(left: float, right: float) -> float:
    """log(exp(left) + exp(right))."""
    if left < right:
        left, right = right, left
    if right == _IMPOSSIBLE:
        return left
    return left + math.log1p(math.exp(right - left))
