"""An n-gram model over CTC units, which has a say in the beam search of a CTC recogniser (shallow fusion).

    score(text) = log p_CTC(text) + weight * log p_ngram(text) + unit_bonus * units

Kept beside the weights of a checkpoint as `ngram.arpa.gz` and `ngram.json`; where they are, they are used.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tiny_audio.atomic import write_text
from tiny_audio.errors import NGramError
from tiny_audio.text.arpa import read_arpa, write_arpa
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.text.ngram import END, START, NGram

ARPA_FILE, SETTINGS_FILE = "ngram.arpa.gz", "ngram.json"


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """How much the n-gram model weighs, and how widely is searched."""

    weight: float = 0.4
    unit_bonus: float = 0.5
    """Added for each unit: without it, short texts would win, since every unit costs probability."""
    num_beams: int = 8


class ShallowFusion:
    """Scores prefixes of unit ids for `prefix_beam_search`.

    Args:
        ngram: over the spelling of units.
        units: of the recogniser.
        config: weights.

    Raises:
        NGramError: the model lacks units of the recogniser, as one over words does.
    """

    def __init__(self, ngram: NGram, units: CTCUnits, config: FusionConfig | None = None) -> None:
        self.ngram = ngram
        self.config = config or FusionConfig()
        self._names = units.names
        missing = sorted(set(self._names[1:]) - ngram.vocabulary)
        if missing:
            raise NGramError(
                f"the n-gram model lacks {len(missing)} of the recogniser's {units.num_units} units, such as"
                f" '{missing[0]}'; make one over its units with `tiny-audio ngram`"
            )

    @classmethod
    def train(
        cls, texts: Iterable[str], units: CTCUnits, *, order: int = 5, config: FusionConfig | None = None
    ) -> "ShallowFusion":
        """Train the n-gram model on the units of texts; texts with characters that no unit has are left out.

        Raises:
            NGramError: no text is left.
        """
        usable = (text for text in texts if not units.unknown_characters([text]))
        names = units.names
        encoded = ([names[unit] for unit in units.encode(text)] for text in usable)
        return cls(NGram.train(encoded, order=order, vocabulary=names[1:]), units, config)

    def extend(self, prefix: tuple[int, ...], token: int) -> float:
        """Weighted log-probability of a unit behind others, and its bonus."""
        log_prob = self.ngram.log_prob(self._history(prefix), self._names[token])
        return self.config.weight * log_prob + self.config.unit_bonus

    def finish(self, prefix: tuple[int, ...]) -> float:
        """Weighted log-probability of the end."""
        return self.config.weight * self.ngram.log_prob(self._history(prefix), END)

    def _history(self, prefix: tuple[int, ...]) -> list[str]:
        known = prefix[max(len(prefix) - self.ngram.order + 1, 0) :]
        start = [START] if len(known) == len(prefix) else []
        return start + [self._names[unit] for unit in known]

    def save(self, folder: Path) -> None:
        """Write both files into a checkpoint folder."""
        write_arpa(folder / ARPA_FILE, self.ngram)
        write_text(folder / SETTINGS_FILE, json.dumps(asdict(self.config)) + "\n")

    @classmethod
    def load(cls, folder: Path, units: CTCUnits) -> "ShallowFusion | None":
        """That of a checkpoint folder; None if it has none.

        Raises:
            NGramError: it is damaged, or for other units.
        """
        if not (folder / SETTINGS_FILE).exists():
            return None
        try:
            config = FusionConfig(**json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise NGramError(f"cannot read '{folder / SETTINGS_FILE}': {error}; make it again") from error
        return cls(read_arpa(folder / ARPA_FILE), units, config)
