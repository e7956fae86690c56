"""What the letters say of a text, and other words for the places where they disagree with it.

A draft of tokens and the likeliest letters are laid side by side. Where their words differ, a beam search over that
stretch alone looks for words that the letters spell, known ones before others; each becomes a candidate: the draft with
these words in that place. Whether it is right is for CTC and language model to decide (`models.joint_decoding`).

Shapes: A CTC frames of characters, V characters and the blank, N texts.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from torch import Tensor

from tiny_audio.data.spoken_forms import numbers_in, spoken_forms
from tiny_audio.models.beam_search import FrameCandidates, prefix_beam_search
from tiny_audio.models.clarity import Clarity
from tiny_audio.models.ctc_changes import CTCScorer
from tiny_audio.text.ctc_units import BLANK_ID, CTCUnits, normalize_transcript
from tiny_audio.text.word_list import WordList

IMPOSSIBLE = -1e4
"""Log-probability of a text with more letters than CTC frames."""
_SURE_BLANK = 0.98
"""Frames of at least that blank say nothing, and one stands for a row of them."""
_NUM_BEAMS = 12
_LETTERS_PER_FRAME = 6
_LIKELY = -7.0
"""Log-probability of a letter that the search looks at."""
_FREQUENCY_WEIGHT = 0.5
_UNKNOWN_WORD = -8.0
"""Log-probability given for a word that is not in the list: of letters as they come."""
_WORD_BONUS = 2.0
_FREQUENCY_OF_TEXT, _UNKNOWN_IN_TEXT = 0.05, -4.0
"""The same for a whole text that no language model judges, beside half of the letters' log-probability."""
_WORDS_APART = -5.0
"""Two spaces in a row."""
_MAX_BEHIND = 6.0
"""Log-probability of letters and words that another word may have less than the draft's."""
_MARKS = ".,;:!?"


class CharacterPosteriors:
    """Letters of one utterance.

    Args:
        log_probs_AV: natural-log probabilities.
        units: of the classes.
        words: that are known.
    """

    def __init__(self, log_probs_AV: Tensor, units: CTCUnits, words: WordList) -> None:
        self._log_probs_AV = log_probs_AV
        self._scorer = CTCScorer(log_probs_AV, blank_id=BLANK_ID)
        self._units = units
        self.words = words
        self._names = units.names
        self._space = self._names.index("▁")
        self._readings: dict[tuple[str, ...], int] = {}
        """Number of the likeliest form of texts with these numbers."""
        self._known: dict[str, float] = {}
        """Texts with their log-probability."""

    def log_probs(self, texts: Sequence[str]) -> list[float]:
        """Natural-log probability of each text; of one with numbers, as its likeliest reading.

        The less the others differ from the first, the sooner it is done. A reading is chosen once for all texts with
        the same numbers: each costs as much as another text.
        """
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        if unknown:
            read = list(dict.fromkeys([texts[0], *unknown]))
            rows = [self._reading(text) for text in read]
            self._known |= dict(zip(read, _score(self._scorer, rows), strict=True))
        return [self._known[text] for text in texts]

    def greedy_text(self) -> str:
        """The likeliest letters as words, right or not."""
        return " ".join(word.text for word in self._greedy_words())

    def clarity(self) -> Clarity:
        """How much of the likeliest path is letters, and how sure of them it is."""
        best = self._log_probs_AV.max(dim=-1)
        spoken_A = best.indices != BLANK_ID
        if not spoken_A.any():
            return Clarity(0, -math.inf)
        num_letters = sum(unit not in (BLANK_ID, self._space) for unit, _ in groupby(best.indices.tolist()))
        return Clarity(num_letters, float(best.values[spoken_A].mean()))

    def word_score(self, text: str) -> float:
        """Higher for frequent words, lower for those that are not in the list; a number has words of its own."""
        words = normalize_transcript(spoken_forms(text)[0]).split()
        known = [self.words.log_probs.get(word) for word in words]
        return sum(_UNKNOWN_IN_TEXT if log_prob is None else _FREQUENCY_OF_TEXT * log_prob for log_prob in known)

    def variants(self, text: str, *, max_variants: int) -> list[str]:
        """The text with words in one place that the letters rather spell; the likeliest first."""
        written = text.split()
        spoken = [
            (part, index)
            for index, word in enumerate(written)
            for part in normalize_transcript(spoken_forms(word)[0]).split()
        ]
        heard = self._greedy_words()
        matcher = SequenceMatcher(a=[part for part, _ in spoken], b=[word.text for word in heard], autojunk=False)
        changes: list[_Change] = []
        for kind, first, last, heard_first, heard_last in matcher.get_opcodes():
            if kind == "equal":
                continue
            start = heard[heard_first - 1].end if heard_first else 0
            end = heard[heard_last].start if heard_last < len(heard) else len(self._log_probs_AV)
            # Whole words of the text: a number of several words is exchanged as a whole, or not at all.
            place = _place(spoken, first, last)
            parts = [part for part, index in spoken if place is not None and place[0] <= index < place[1]]
            if place is None or len(parts) != last - first:
                continue
            changes += self._changes(start, end, " ".join(parts), place)
        changes.sort(key=lambda change: change.gain, reverse=True)
        found = dict.fromkeys(_changed(written, change) for change in changes)
        return [variant for variant in found if variant and variant != text][:max_variants]

    def _changes(self, start: int, end: int, said: str, place: tuple[int, int]) -> Iterator["_Change"]:
        """Other words for a stretch of frames, with how much likelier they are than those of the text."""
        stretch_AV = self._log_probs_AV[start:end]
        if not len(stretch_AV):
            return
        scorer = _WordScorer(self._names, self.words)
        hypotheses = prefix_beam_search(list(self._frames(stretch_AV)), num_beams=_NUM_BEAMS, scorer=scorer)
        found = dict.fromkeys(self._units.decode(one.token_ids) for one in hypotheses)
        texts = [said, *(text for text in found if text != said)][: 1 + _NUM_BEAMS // 3]
        ids = [self._ids(text) for text in texts]
        letters = self._score_within(stretch_AV, ids)
        scores = [score + scorer.of_text(text) for text, score in zip(texts, letters, strict=True)]
        for text, score in zip(texts[1:], scores[1:], strict=True):
            if score - scores[0] > -_MAX_BEHIND:
                start_word, end_word = place
                yield _Change(start=start_word, end=end_word, words=tuple(text.split()), gain=score - scores[0])

    def _frames(self, log_probs_AV: Tensor) -> Iterator[FrameCandidates]:
        """Of a row of frames that are surely blank, the first one."""
        is_sure = (log_probs_AV[:, BLANK_ID].exp() >= _SURE_BLANK).tolist()
        top = log_probs_AV[:, BLANK_ID + 1 :].topk(_LETTERS_PER_FRAME, dim=1)
        rows = zip(is_sure, log_probs_AV[:, BLANK_ID].tolist(), top.indices.tolist(), top.values.tolist(), strict=True)
        was_sure = False
        for sure, blank, ids, values in rows:
            if not (sure and was_sure):
                letters = [(id + BLANK_ID + 1, value) for id, value in zip(ids, values, strict=True) if value > _LIKELY]
                yield FrameCandidates(blank=blank, tokens=letters)
            was_sure = sure

    def _greedy_words(self) -> list["_HeardWord"]:
        """Words of the likeliest path, and the frames that they lie in."""
        path = self._log_probs_AV.argmax(dim=-1).tolist()
        heard: list[_HeardWord] = []
        letters, first, last = "", 0, 0
        frame = 0
        for unit, run in groupby(path):
            length = len(list(run))
            if unit == self._space:
                if letters:
                    heard.append(_HeardWord(letters, first, last))
                letters = ""
            elif unit != BLANK_ID:
                first = frame if not letters else first
                letters, last = letters + self._names[unit], frame + length
            frame += length
        return [*heard, _HeardWord(letters, first, last)] if letters else heard

    def _reading(self, text: str) -> list[int]:
        """Letters of the text as it is likeliest read out."""
        forms = [self._ids(form) for form in spoken_forms(text)]
        numbers = numbers_in(text)
        if len(forms) > 1 and numbers not in self._readings:
            scores = _score(self._scorer, forms)
            self._readings[numbers] = max(range(len(forms)), key=scores.__getitem__)
        reading = self._readings.get(numbers, 0)
        return forms[reading if reading < len(forms) else 0]

    def _ids(self, text: str) -> list[int]:
        plain = normalize_transcript(text)
        known = "".join(character for character in plain if character in self._units.alphabet)
        return self._units.encode(known)

    def _score_within(self, log_probs_AV: Tensor, rows: Sequence[Sequence[int]]) -> list[float]:
        """Of words between others: with or without a space to either side."""
        space = [self._space]
        framed = [
            [*before, *row, *after] if row else [*before]
            for row in rows
            for before in ([], space)
            for after in ([], space)
        ]
        scores = _score(CTCScorer(log_probs_AV, blank_id=BLANK_ID), framed)
        return [max(scores[first : first + 4]) for first in range(0, len(scores), 4)]


@dataclass(frozen=True)
class _HeardWord:
    text: str
    start: int
    end: int
    """One behind its last frame."""


@dataclass(frozen=True, kw_only=True)
class _Change:
    """Words for a place in a text, `start` to `end` of its words."""

    start: int
    end: int
    words: tuple[str, ...]
    gain: float
    """Of log-probability by letters and frequency."""


class _WordScorer:
    """For `prefix_beam_search`: frequent words are likelier than rare ones, and letters that make no word are not."""

    def __init__(self, names: Sequence[str], words: WordList) -> None:
        self._names, self._words = names, words
        self._begun: dict[tuple[int, ...], str | None] = {(): ""}

    def extend(self, prefix: tuple[int, ...], token: int) -> float:
        begun = self._begun_word(prefix)
        if self._names[token] == "▁":
            if not prefix:
                return 0.0
            return _WORDS_APART if begun == "" else self._end(begun)
        if begun is None or begun + self._names[token] in self._words.beginnings:
            return 0.0
        return _UNKNOWN_WORD

    def finish(self, prefix: tuple[int, ...]) -> float:
        begun = self._begun_word(prefix)
        return 0.0 if begun == "" else self._end(begun)

    def of_text(self, text: str) -> float:
        """The same for whole words."""
        return sum(map(self._end, text.split()))

    def _end(self, word: str | None) -> float:
        """Of a word's end; None: letters that no word begins with, which have been paid for."""
        if word is None:
            return _WORD_BONUS
        known = self._words.log_probs.get(word)
        return _WORD_BONUS + (_UNKNOWN_WORD if known is None else _FREQUENCY_WEIGHT * known)

    def _begun_word(self, prefix: tuple[int, ...]) -> str | None:
        """Letters behind the last space; None where no word begins so."""
        if prefix not in self._begun:
            before, name = self._begun_word(prefix[:-1]), self._names[prefix[-1]]
            if name == "▁":
                begun: str | None = ""
            else:
                begun = None if before is None else before + name
                begun = begun if begun in self._words.beginnings else None
            self._begun[prefix] = begun
        return self._begun[prefix]


def _score(scorer: CTCScorer, rows: Sequence[Sequence[int]]) -> list[float]:
    """Natural-log probability of each row of character ids, or as good as none."""
    return [max(score, IMPOSSIBLE) for score in scorer.log_probs(rows)]


def _place(spoken: Sequence[tuple[str, int]], first: int, last: int) -> tuple[int, int] | None:
    """Words of the text that hold its spoken parts `first` to `last`; None between two parts of one word."""
    if first < last:
        return spoken[first][1], spoken[last - 1][1] + 1
    if first == len(spoken):
        return (spoken[-1][1] + 1,) * 2 if spoken else (0, 0)
    index = spoken[first][1]
    return None if first and spoken[first - 1][1] == index else (index, index)


def _changed(written: Sequence[str], change: _Change) -> str:
    """The text with other words in one place, written with the capital and the marks of those they replace."""
    out: list[str] = list(written)
    new, old = list(change.words), written[change.start : change.end]
    if not old and new and change.start:
        before = out[change.start - 1]
        out[change.start - 1] = before.rstrip(_MARKS)
        new[-1] += before[len(before.rstrip(_MARKS)) :]
    if old and new:
        if old[0][:1].isupper():
            new[0] = new[0][:1].upper() + new[0][1:]
        new[-1] += old[-1][len(old[-1].rstrip(_MARKS)) :]
    out[change.start : change.end] = new
    return " ".join(out)
