"""Texts to be read once it is known what each single change of the best hypothesis is worth.

What was heard wrong in two places is in no hypothesis that differs in one. So the changes that pay are put together;
beside that text stand those that have one of them less, one more, or a token as the language model expects it.
"""

from collections.abc import Iterable, Mapping, Sequence

from tiny_audio.models.text_changes import Change, changes_between, with_changes
from tiny_audio.models.word_boundaries import joined_words
from tiny_audio.text.word_list import WordList

_NEARLY = -3.0
"""A change that costs no more than that is worth another look: what it is worth alone is an estimate."""
_MAX_TEXTS, _MAX_FEWER, _MAX_JOINED = 9, 5, 2
"""Texts from changes, of these such with one less, and further texts with two words as one."""


def finalists(text: str, gains: Mapping[str, float], words: WordList | None = None) -> list[str]:
    """Texts that may be the best: first the one with all changes that pay, then such as differ from it in one place.

    Args:
        text: the best hypothesis so far.
        gains: texts that differ from it in one place, with how much higher than it they score.
        words: that two words may be one of.
    """
    of_change = _of_changes(text, gains)
    ranked, taken = list(of_change), _taken(of_change)
    together = with_changes(text, taken)
    found = [together]
    least_sure = taken[: -_MAX_FEWER - 1 : -1]
    found += [with_changes(text, [other for other in taken if other != change]) for change in least_sure]
    for change in ranked:
        if len(found) < _MAX_TEXTS and change not in taken and of_change[change] > _NEARLY:
            found.append(with_changes(text, [*(other for other in taken if not change.overlaps(other)), change]))
    if words is not None:
        found += joined_words(together, words)[:_MAX_JOINED]
    return [one for one in dict.fromkeys(found) if one] or [text]


def as_guessed(token_ids: Sequence[int], guesses: Sequence[int]) -> list[list[int]]:
    """A text with one token as it was guessed: in the place of its own, before it, or without those it leaves out.

    Args:
        token_ids: of the text.
        guesses: what is likeliest in each place, all before it given, and behind the last.
    """
    found = []
    for place, (own, guess) in enumerate(zip(token_ids, guesses, strict=False)):
        if guess == own:
            continue
        before, rest = token_ids[:place], token_ids[place:]
        found += [[*before, guess, *rest[1:]], [*before, guess, *rest]]
        if guess in rest[1:3]:
            found.append([*before, *rest[rest.index(guess) :]])
    return found


def with_others(text: str, others: Iterable[str], gains: Mapping[str, float]) -> list[str]:
    """The text with all changes that pay and, for each of the others, what makes that one of the text; each once."""
    taken = _taken(_of_changes(text, gains))
    found = []
    for other in others:
        changes = changes_between(text, other)
        kept = [one for one in taken if not any(one.overlaps(change) for change in changes)]
        found.append(with_changes(text, [*kept, *changes]))
    return list(dict.fromkeys(found))


def put_together(text: str, gains: Mapping[str, float]) -> str:
    """The text with all changes that pay, of several for one place the best."""
    return with_changes(text, _taken(_of_changes(text, gains)))


def _of_changes(text: str, gains: Mapping[str, float]) -> dict[Change, float]:
    """What each change is worth, the best first."""
    found = {change: gain for other, gain in gains.items() for change in changes_between(text, other)}
    return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))


def _taken(of_change: Mapping[Change, float]) -> list[Change]:
    taken: list[Change] = []
    for change, gain in of_change.items():
        if gain > 0 and not any(change.overlaps(other) for other in taken):
            taken.append(change)
    return taken
