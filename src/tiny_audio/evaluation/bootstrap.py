"""How sure an error rate is: bootstrap intervals (Bisani and Ney, ICASSP 2004), alone and for two systems in pairs.

What is drawn again is a whole speaker, or a whole recording, where there are enough of them: errors of one speaker come
together, and an interval that draws single utterances would be too narrow. With few units percentiles of the bootstrap
are too narrow as well, so they are widened to what Student's t would give (Hesterberg, arXiv 1411.5279, section 4.3).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

NUM_REPLICATES = 10_000
LEVEL = 0.95
MIN_UNITS = 10
"""Fewer speakers (or recordings) than this say nothing about other speakers; then utterances are drawn."""
_BLOCK = 1 << 21
"""Numbers drawn at a time, so that memory does not grow with the corpus."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where the true rate lies with 95 % confidence; fractions."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A second system against a first on the same utterances; negative differences are improvements."""

    difference: float
    """Rate of the second minus rate of the first."""
    interval: Interval
    probability_of_improvement: float
    """Share of the replicates in which the second makes fewer errors; ties count half."""

    @property
    def is_worse(self) -> bool:
        """Whether the second is significantly worse."""
        return self.interval.low > 0

    @property
    def is_better(self) -> bool:
        """Whether the second is significantly better."""
        return self.interval.high < 0


def choose_units(speakers: Sequence[str], recordings: Sequence[str]) -> tuple[str, list[str]]:
    """What is drawn as one: its kind (speaker, recording or utterance), and the unit that each utterance is in.

    Args:
        speakers: of each utterance; empty if unknown.
        recordings: of each utterance.
    """
    if all(speakers) and len(set(speakers)) >= MIN_UNITS:
        return "speaker", list(speakers)
    if MIN_UNITS <= len(set(recordings)) < len(recordings):
        return "recording", list(recordings)
    return "utterance", [str(number) for number in range(len(speakers))]


def rate_interval(errors_N: Sequence[int], words_N: Sequence[int], units: Sequence[str], *, seed: int = 0) -> Interval:
    """The interval of `sum(errors) / sum(words)`.

    Args:
        errors_N: of each utterance.
        words_N: reference words of each utterance.
        units: which utterances are drawn as one.
        seed: of the replicates.
    """
    errors_U, words_U = _sum_by_unit(units, errors_N, words_N)
    if not words_U.sum():
        return Interval(low=0.0, high=0.0)
    errors_R, words_R = _replicates(errors_U, words_U, seed=seed)
    return _interval(errors_R / np.maximum(words_R, 1), num_units=len(words_U))


def compare(
    first_N: Sequence[int], second_N: Sequence[int], words_N: Sequence[int], units: Sequence[str], *, seed: int = 0
) -> Comparison:
    """Compare the errors of two systems on the same utterances; each replicate draws the same units for both."""
    first_U, second_U, words_U = _sum_by_unit(units, first_N, second_N, words_N)
    if not words_U.sum():
        return Comparison(difference=0.0, interval=Interval(low=0.0, high=0.0), probability_of_improvement=0.5)
    difference_R, words_R = _replicates(second_U - first_U, words_U, seed=seed)
    return Comparison(
        difference=float((second_U - first_U).sum() / words_U.sum()),
        interval=_interval(difference_R / np.maximum(words_R, 1), num_units=len(words_U)),
        probability_of_improvement=float(np.mean(difference_R < 0) + np.mean(difference_R == 0) / 2),
    )


def _sum_by_unit(units: Sequence[str], *values_N: Sequence[int]) -> list[NDArray[np.int64]]:
    index = {unit: number for number, unit in enumerate(Counter(units))}
    rows_N = np.fromiter((index[unit] for unit in units), np.int64, len(units))
    return [np.bincount(rows_N, weights=values, minlength=len(index)).astype(np.int64) for values in values_N]


def _replicates(*values_U: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Sums over drawn units, (number of values, NUM_REPLICATES)."""
    num_units = len(values_U[0])
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK // num_units)
    sums = []
    for start in range(0, NUM_REPLICATES, block):
        drawn_RU = generator.integers(num_units, size=(min(block, NUM_REPLICATES - start), num_units), dtype=np.int32)
        sums.append([values[drawn_RU].sum(axis=1) for values in values_U])
    return np.concatenate(sums, axis=1)


def _interval(rates_R: NDArray[np.float64], *, num_units: int) -> Interval:
    normal = NormalDist()
    tail = (1 - LEVEL) / 2
    if num_units > 1:
        # The bootstrap's variance is too small by (n - 1) / n, and its tails are those of a normal distribution.
        tail = normal.cdf(-math.sqrt(num_units / (num_units - 1)) * _student_quantile(1 - tail, num_units - 1))
    low, high = np.quantile(rates_R, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))


def _student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t by the series of Cornish and Fisher; to 1 % from three degrees of freedom on."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, start=1))
