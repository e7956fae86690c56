"""What a language model thinks of small changes in a long text, for the price of the changes.

A word at the beginning of a text changes the probability of every token behind it, so to compare two texts each would
have to be read whole. But most of the difference lies in the changed tokens and the next few. So the text is read once,
each change behind what comes before it, with four tokens of what follows; all of it is one tree of one pass.
"""

from collections.abc import Sequence

from tiny_audio.models.speculative import Decoded

_FOLLOWING = 4
"""Tokens behind a change that are read with it."""


class LocalDrafts:
    """A text and others that differ from it in one place.

    Args:
        text: token ids.
        others: those of the others.
    """

    def __init__(self, text: Sequence[int], others: Sequence[Sequence[int]]) -> None:
        self.drafts: list[list[int]] = [list(text)]
        """To be scored with the end of the turn; the text is the first."""
        self.beginnings: list[list[int]] = []
        """To be scored without."""
        self._places: list[tuple[list[list[int]], int, int]] = []
        """Of each of the others: which list, where in it, and what it is compared with."""
        for other in others:
            shared = _shared_end(text, other)
            if shared <= _FOLLOWING:
                self._places.append((self.drafts, len(self.drafts), 0))
                self.drafts.append(list(other))
                continue
            left_out = shared - _FOLLOWING
            self._places.append((self.beginnings, len(self.beginnings), len(self.beginnings) + 1))
            self.beginnings += [list(other[: len(other) - left_out]), list(text[: len(text) - left_out])]

    def log_probs(self, result: Decoded) -> list[float]:
        """Natural-log probability of the text, then of each of the others, as far as its change goes."""
        (of_text, *_) = result.draft_log_probs
        scores = [of_text]
        for rows, place, compared in self._places:
            found = result.draft_log_probs if rows is self.drafts else result.beginning_log_probs
            scores.append(of_text + found[place] - found[compared])
        return scores


def _shared_end(left: Sequence[int], right: Sequence[int]) -> int:
    """Tokens at the end that both have, behind those that both begin with."""
    shortest = min(len(left), len(right))
    first = next((place for place in range(shortest) if left[place] != right[place]), shortest)
    most = shortest - first
    return next((size for size in range(most) if left[-1 - size] != right[-1 - size]), most)
