"""An n-gram model over tokens: how probable a token is behind those before it. Small, exact, and quick to train.

Interpolated Witten-Bell smoothing (Witten and Bell 1991, IEEE Trans. Inf. Theory 37(4), in the form of Chen and
Goodman 1998, TR-10-98). A history h seen c(h) times, with T(h) different tokens behind it, keeps T(h) of c(h) + T(h)
shares for what its shorter self says:

    p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h))

It has no parameters to fit and holds up where counts are few, unlike Kneser-Ney with its discounts.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiny_audio.errors import NGramError

START, END = "<s>", "</s>"
"""Before the first token of a text, and behind its last."""

NGramKey = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NGram:
    """Natural-log probabilities with back-off, as an ARPA file lists them (`text.arpa`)."""

    order: int
    """Tokens that are looked at together, the one that is predicted included."""
    log_probs: Mapping[NGramKey, float]
    """Of the last token of each listed n-gram behind the others."""
    backoffs: Mapping[NGramKey, float]
    """Added for a history when an n-gram is not listed and the history is shortened; 0 where it is missing."""

    @classmethod
    def train(cls, texts: Iterable[Sequence[str]], *, order: int = 4, vocabulary: Iterable[str] = ()) -> "NGram":
        """Count and smooth texts of tokens.

        Args:
            texts: each is framed by a start and an end.
            order: 1 or more.
            vocabulary: tokens that may come, whether or not the texts have them; none of them is ever impossible.

        Raises:
            NGramError: no text, or an order below 1.
        """
        if order < 1:
            raise NGramError(f"order is {order}; expected 1 or more")
        counts: Counter[NGramKey] = Counter()
        for text in texts:
            framed = (START, *text, END)
            for size in range(1, order + 1):
                counts.update(framed[end - size : end] for end in range(size, len(framed) + 1))
        if not counts:
            raise NGramError("no text to count n-grams of; expected at least one")
        del counts[(START,)]  # it is given, never predicted
        totals: Counter[NGramKey] = Counter()
        followers: defaultdict[NGramKey, int] = defaultdict(int)
        for key, count in counts.items():
            totals[key[:-1]] += count
            followers[key[:-1]] += 1
        known = {END, *vocabulary, *(key[0] for key in counts if len(key) == 1)}
        probabilities: dict[NGramKey, float] = {}
        share = followers[()] / (totals[()] + followers[()])
        for token in known:
            probabilities[(token,)] = counts[(token,)] / (totals[()] + followers[()]) + share / len(known)
        for key in sorted((key for key in counts if len(key) > 1), key=len):
            total, kinds = totals[key[:-1]], followers[key[:-1]]
            probabilities[key] = (counts[key] + kinds * probabilities[key[1:]]) / (total + kinds)
        return cls(
            order=order,
            log_probs={key: math.log(value) for key, value in probabilities.items()},
            backoffs={key: math.log(n / (totals[key] + n)) for key, n in followers.items() if key},
        )

    @property
    def vocabulary(self) -> set[str]:
        """Tokens that it can predict, the end among them."""
        return {key[0] for key in self.log_probs if len(key) == 1} - {START}

    def log_prob(self, history: Sequence[str], token: str) -> float:
        """Natural log of the probability of a token behind a history that begins with `START`; -inf if unknown."""
        context = tuple(history[max(len(history) - self.order + 1, 0) :]) if self.order > 1 else ()
        backed_off = 0.0
        while (found := self.log_probs.get((*context, token))) is None:
            if not context:
                return -math.inf
            backed_off += self.backoffs.get(context, 0.0)
            context = context[1:]
        return backed_off + found

    def score(self, text: Sequence[str]) -> float:
        """Natural log of the probability of a whole text, its end included."""
        framed = (START, *text, END)
        return sum(self.log_prob(framed[:place], framed[place]) for place in range(1, len(framed)))

    def perplexity(self, texts: Iterable[Sequence[str]]) -> float:
        """Inverse of the geometric mean of the tokens' probabilities, ends included; infinite with an unknown token."""
        log_prob, num_tokens = 0.0, 0
        for text in texts:
            log_prob += self.score(text)
            num_tokens += len(text) + 1
        return math.exp(-log_prob / max(num_tokens, 1))
