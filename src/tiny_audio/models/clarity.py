"""Whether letters that were heard are letters that somebody said."""

import math
from typing import NamedTuple

CLEAR_POSTERIOR = 0.65
"""Halfway between the letters of a word said alone and those that noise sounds like."""
MIN_LETTERS = 2
"""A click may sound like one."""


class Clarity(NamedTuple):
    """What letters there are in an utterance."""

    num_letters: int
    mean_log_prob: float
    """Of the frames with letters."""

    @property
    def is_clear(self) -> bool:
        """Whether these are letters that somebody says."""
        return self.num_letters >= MIN_LETTERS and self.mean_log_prob >= math.log(CLEAR_POSTERIOR)
