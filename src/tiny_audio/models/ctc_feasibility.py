"""Whether the audio of a data set has enough CTC frames for its texts.

CTC needs a frame for each label and one more between equal neighbours. English read aloud has 15.2 characters a second
and 2 % of repeats: 12.5 frames a second are too few for almost every utterance, and a loss that is quietly set to zero
for those falls while nothing is learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

CHARACTER_FRAME_RATE = 15.5
"""CTC frames a second that characters need: 15.2 characters a second plus 1.9 % of repeats (LJ Speech, 24 hours)."""


@dataclass(frozen=True, kw_only=True)
class FeasibilityReport:
    """CTC frames of each utterance: those its text needs, and those its audio has."""

    needed: Sequence[int]
    available: Sequence[int]

    @property
    def infeasible(self) -> list[int]:
        """Indices of the utterances without any alignment."""
        pairs = zip(self.needed, self.available, strict=True)
        return [index for index, (needed, available) in enumerate(pairs) if available < needed]

    @property
    def share_infeasible(self) -> float:
        """Fraction of all utterances; 0 where there are none."""
        return len(self.infeasible) / max(len(self.needed), 1)

    def headroom(self, quantile: float) -> float:
        """Available by needed frames at that quantile, 0 being the tightest; below 1 there is no alignment.

        At 1 every frame must emit. The median of comfortable data is 1.5 or more.
        """
        pairs = zip(self.needed, self.available, strict=True)
        ratios = sorted(available / max(needed, 1) for needed, available in pairs)
        return ratios[round(quantile * (len(ratios) - 1))]

    def __str__(self) -> str:
        if not self.needed:
            return "no utterances"
        return (
            f"{len(self.infeasible)} of {len(self.needed)} utterances ({self.share_infeasible:.1%}) have fewer CTC"
            f" frames than their text needs; available / needed: {self.headroom(0):.2f} at the tightest,"
            f" {self.headroom(0.5):.2f} in the middle"
        )
