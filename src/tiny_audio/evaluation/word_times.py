"""How far the times of words are off, where both the manifest (`words`) and the system (`pred_words`) give them."""

from collections.abc import Sequence
from statistics import median

from tiny_audio.evaluation.results import ScoredUtterance
from tiny_audio.evaluation.wer import align_words
from tiny_audio.text.normalizers import Normalizer
from tiny_audio.types import Seconds


def median_word_time_error(utterances: Sequence[ScoredUtterance], normalizer: Normalizer) -> Seconds | None:
    """Median distance of starts and ends of the words that were understood; None if there are no times to compare."""
    distances: list[Seconds] = []
    for utterance in utterances:
        extra = utterance.result.extra
        # One word may become several ("don't") or none ("um"); such a one has no time of its own and is left out.
        said, understood = (
            [(words[0], row) for row in extra.get(key, ()) if len(words := normalizer(str(row["word"])).split()) == 1]
            for key in ("words", "pred_words")
        )
        distances += _distances(said, understood)
    return median(distances) if distances else None


_TimedWord = tuple[str, dict[str, Seconds]]


def _distances(said: Sequence[_TimedWord], understood: Sequence[_TimedWord]) -> list[Seconds]:
    rows, other_rows = (iter([row for _, row in words]) for words in (said, understood))
    distances = []
    for word, other in align_words([word for word, _ in said], [word for word, _ in understood]):
        row = next(rows) if word else None
        other_row = next(other_rows) if other else None
        if row and other_row and word == other:
            distances += [abs(float(row[edge]) - float(other_row[edge])) for edge in ("start", "end")]
    return distances
