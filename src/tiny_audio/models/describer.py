"""What can be heard beside the words: sex of the speaker, room, distance, noise.

    output of the encoder's frozen part -> mean and standard deviation over time -> one linear layer -> facts

The pooling is that of x-vectors (statistics pooling, Snyder et al., 2018); each frame is normalised first, or a few
loud dimensions would be all that is seen. A language model that was to say it from the projector's output stayed at
chance (experiments/LOG.md): the projector keeps what tells words apart, and that is not what tells voices apart.

Shapes: B batch, T encoder frames, D encoder width, N values of all facts.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_PROBABILITY = 0.6
"""Below it nothing is said."""
NOTHING = "none"
"""Value of a fact that says there is no such thing."""


class Describer(nn.Module):
    """A probability for each value of each fact.

    Args:
        dim: encoder width D.
        facts: the values of each.
    """

    def __init__(self, dim: int, facts: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.facts = {fact: tuple(values) for fact, values in facts.items()}
        self.linear = nn.Linear(2 * dim, sum(map(len, self.facts.values())))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, frames_BTD: Tensor, lengths_B: Tensor) -> dict[str, Tensor]:
        """Logits `(B, values)` of each fact; what stands beyond a row's length has no part in them."""
        frames_BTD = F.layer_norm(frames_BTD.float(), frames_BTD.shape[-1:])
        lengths_B11 = lengths_B.to(frames_BTD.device)[:, None, None]
        is_real_BT1 = torch.arange(frames_BTD.shape[1], device=frames_BTD.device)[None, :, None] < lengths_B11
        mean_B1D = (frames_BTD * is_real_BT1).sum(dim=1, keepdim=True) / lengths_B11
        variance_B1D = ((frames_BTD - mean_B1D).square() * is_real_BT1).sum(dim=1, keepdim=True) / lengths_B11
        # The root has no slope at 0, where a clip of one frame lies.
        pooled_B2D = torch.cat([mean_B1D, (variance_B1D + 1e-6).sqrt()], dim=-1).squeeze(1)
        logits = self.linear(pooled_B2D).split([len(values) for values in self.facts.values()], dim=1)
        return dict(zip(self.facts, logits, strict=True))

    def describe(self, frames_BTD: Tensor, lengths_B: Tensor) -> list[dict[str, str]]:
        """The facts of each row that are probable enough to be said."""
        logits = self(frames_BTD, lengths_B)
        rows: list[dict[str, str]] = [{} for _ in range(len(frames_BTD))]
        for fact, logits_BN in logits.items():
            for row, probabilities in zip(rows, logits_BN.softmax(dim=1).tolist(), strict=True):
                value, probability = _likeliest(dict(zip(self.facts[fact], probabilities, strict=True)))
                if probability >= MIN_PROBABILITY:
                    row[fact] = value
        return [_consistent(row) for row in rows]


def _likeliest(values: Mapping[str, float]) -> tuple[str, float]:
    """A value and how sure it is; that there is something at all is as sure as all its kinds together."""
    kinds = {value: probability for value, probability in values.items() if value != NOTHING}
    kind = max(kinds, key=lambda value: kinds[value])
    if NOTHING not in values:
        return kind, kinds[kind]
    something = 1.0 - values[NOTHING]
    return (kind, something) if something >= 0.5 else (NOTHING, values[NOTHING])


def _consistent(facts: dict[str, str]) -> dict[str, str]:
    """Without the distance of a room that does not echo, and without the level of a noise that is not there."""
    dropped = set()
    if facts.get("room") != "echoing":
        dropped.add("distance")
    if facts.get("noise", NOTHING) == NOTHING:
        dropped.add("noise level")
    return {fact: value for fact, value in facts.items() if fact not in dropped}
