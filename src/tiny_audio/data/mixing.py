"""Several corpora in one stream: how often an epoch shows each of them.

A source is an endless row of passes, each of them all its utterances in a new random order. An epoch takes the next
`weight * utterances` of that row: 2.5 shows some utterances twice and the others three times, 0.2 another fifth each
time, and after any number of epochs no utterance of a source has been shown more than once more than another.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_audio.errors import ConfigError

Indices = NDArray[np.int64]


def split_weight(source: str) -> tuple[str, float]:
    """Path and weight of `PATH` or `PATH*WEIGHT`; a path without a weight has 1.

    Raises:
        ConfigError: the weight is not above 0.
    """
    found = re.fullmatch(r"(.+)\*([-+]?\d*\.?\d+)", source)  # any other star is part of a pattern: shards-*.tar
    if found is None:
        return source, 1.0
    path, weight = found[1], float(found[2])
    if weight <= 0:
        raise ConfigError([f"source '{source}' has the weight {weight:g}; expected more than 0, such as {path}*0.5"])
    return path, weight


def draw_epoch(sizes: Sequence[int], weights: Sequence[float], *, seed: int, epoch: int) -> tuple[Indices, Indices]:
    """What an epoch shows: indices of utterances, counted over all sources, and the pass that each belongs to.

    Args:
        sizes: utterances of each source.
        weights: how many times an epoch shows each source.
        seed: of the run.
        epoch: from 0.
    """
    indices, passes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, (size, weight) in enumerate(zip(sizes, weights, strict=True)):
        first, end = math.ceil(epoch * weight * size), math.ceil((epoch + 1) * weight * size)
        for one in range(first // size, -(-end // size)) if size else ():
            order = np.random.default_rng((seed, number, one)).permutation(size)
            chosen = order[max(first - one * size, 0) : end - one * size]
            indices.append(chosen + sum(sizes[:number]))
            passes.append(np.full(len(chosen), one))
    return np.concatenate(indices), np.concatenate(passes)
