"""Draw the part of the vocabulary that a step's CTC normaliser sums over.

The sum over 49,152 tokens is most of the work of a CTC step. The tokens that the transcripts use most and the labels
of the batch are always in; of all others a random few stand for the rest, so that over the steps every token is
pushed away from frames that are not its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from tiny_audio.models.ctc import VocabularySample


class VocabularySampler:
    """Samples of an embedding table.

    Args:
        rows: embeddings of some tokens, in the format the sum is computed in.
        num_tokens: of the whole table.
        transcripts: label sequences of the training data; their most frequent tokens are always in.
        num_frequent: how many those are.
        num_random: how many of the rest are drawn.
    """

    def __init__(
        self,
        rows: Callable[[Tensor], Tensor],
        num_tokens: int,
        transcripts: Iterable[Sequence[int]],
        *,
        num_frequent: int,
        num_random: int,
    ) -> None:
        counts: Counter[int] = Counter()
        for labels in transcripts:
            counts.update(labels)
        self._rows = rows
        self._num_tokens = num_tokens
        self._frequent = {token for token, _ in counts.most_common(num_frequent)}
        self._num_random = num_random

    def draw(self, labels: Iterable[Sequence[int]], generator: torch.Generator) -> VocabularySample:
        """A sample for a batch with these labels."""
        always = torch.tensor(sorted(self._frequent.union(*labels)), dtype=torch.long)
        is_rest_V = torch.ones(self._num_tokens, dtype=torch.bool)
        is_rest_V[always] = False
        rest = is_rest_V.nonzero()[:, 0]
        num_random = min(self._num_random, len(rest))
        drawn = rest[torch.randperm(len(rest), generator=generator)[:num_random]]
        log_weights_N = torch.zeros(len(always) + num_random)
        if num_random:
            log_weights_N[len(always) :] = torch.tensor(len(rest) / num_random).log()
        table_NE = self._rows(torch.cat([always, drawn]))
        device = table_NE.device
        return VocabularySample(table_NE=table_NE, log_weights_N=log_weights_N.to(device), always_M=always.to(device))
