"""Draw the part of the vocabulary that a step's CTC normaliser sums over.

The sum over 49,152 tokens is most of the work of a CTC step. The tokens that the transcripts use most and the labels
of the batch are always in; of all others a random few stand for the rest, so that over the steps every token is
pushed away from frames that are not its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tiny_audio.models.ctc import VocabularySample


class VocabularySampler:
    """Samples for a fixed embedding table.

    Args:
        table_VE: the table, in the format the sum is computed in.
        transcripts: label sequences of the training data; their most frequent tokens are always in.
        num_frequent: how many those are.
        num_random: how many of the rest are drawn.
    """

    def __init__(
        self, table_VE: Tensor, transcripts: Iterable[Sequence[int]], *, num_frequent: int, num_random: int
    ) -> None:
        counts: Counter[int] = Counter()
        for labels in transcripts:
            counts.update(labels)
        self._table_VE = table_VE
        self._frequent = {token for token, _ in counts.most_common(num_frequent)}
        self._num_random = num_random

    def draw(self, labels: Iterable[Sequence[int]], generator: torch.Generator) -> VocabularySample:
        """A sample for a batch with these labels."""
        always = torch.tensor(sorted(self._frequent.union(*labels)), dtype=torch.long)
        is_rest_V = torch.ones(len(self._table_VE), dtype=torch.bool)
        is_rest_V[always] = False
        rest = is_rest_V.nonzero()[:, 0]
        num_random = min(self._num_random, len(rest))
        drawn = rest[torch.randperm(len(rest), generator=generator)[:num_random]]
        log_weights_N = torch.zeros(len(always) + num_random)
        if num_random:
            log_weights_N[len(always) :] = torch.tensor(len(rest) / num_random).log()
        ids = torch.cat([always, drawn]).to(self._table_VE.device)
        return VocabularySample(table_NE=self._table_VE[ids], log_weights_N=log_weights_N.to(self._table_VE.device))
