"""What a CTC writes: byte-pair units (BPE) or characters, over texts in one case and without punctuation.

Id 0 is the blank; the units are 1 to `num_units`. Both kinds are a `tokenizers` BPE: characters are one without merges.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tiny_audio.atomic import write_text
from tiny_audio.errors import CheckpointError, UnitsError

BLANK_ID = 0
_BLANK = "<blank>"
_SPACE = "▁"
_ALPHABET = [*"abcdefghijklmnopqrstuvwxyz'", _SPACE]
_SPOKEN_SIGNS = frozenset("%&@#")
"""Punctuation to Unicode, but words to a reader."""
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´", "'"))
_OUTER_APOSTROPHE = re.compile(r"(?<![^\W\d_])'|'(?![^\W\d_])")


def normalize_transcript(text: str) -> str:
    """The words that a CTC learns: NFKC, lower case, no punctuation but apostrophes within words, single spaces.

    Digits and signs that are read aloud ("7", "%", "$") stay, and units that lack them refuse the text: they are to be
    written as words before (see `data.number_words`), since only their context tells how they were said.
    """
    # Before NFKC, which takes an acute accent by itself for a space with an accent.
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    text = "".join(" " if _is_silent(character) else character for character in text)
    return " ".join(_OUTER_APOSTROPHE.sub(" ", text).split())


@lru_cache(maxsize=4096)
def _is_silent(character: str) -> bool:
    is_punctuation = unicodedata.category(character).startswith(("P", "C", "Z"))
    return is_punctuation and character != "'" and character not in _SPOKEN_SIGNS


class CTCUnits:
    """Texts to unit ids and back.

    Args:
        tokenizer: a BPE whose id 0 is the blank; see `train_bpe` and `characters`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        if vocabulary.get(_BLANK) != BLANK_ID:
            raise CheckpointError(f"unit 0 is not '{_BLANK}'; expected the file of CTC units, not any tokenizer")
        self.num_units = len(vocabulary) - 1
        self.kind: Literal["bpe", "char"] = "bpe" if json.loads(tokenizer.to_str())["model"]["merges"] else "char"
        self.alphabet = frozenset(unit.replace(_SPACE, " ") for unit in vocabulary if len(unit) == 1)
        """Characters that texts may be made of, after `normalize_transcript`."""

    @classmethod
    def train_bpe(cls, texts: Iterable[str], *, num_units: int = 256) -> "CTCUnits":
        """Byte-pair units learned from texts; fewer than `num_units` where these give no more.

        Raises:
            UnitsError: the alphabet of the texts alone has as many characters.
        """
        tokenizer = _tokenizer(models.BPE(), prepend_scheme="always")
        trainer = trainers.BpeTrainer(
            vocab_size=num_units + 1, special_tokens=[_BLANK], initial_alphabet=_ALPHABET, show_progress=False
        )
        tokenizer.train_from_iterator((normalize_transcript(text) for text in texts), trainer)
        units = cls(tokenizer)
        if len(units.alphabet) >= num_units:
            raise UnitsError(
                f"num_units is {num_units}, but the texts have {len(units.alphabet)} characters; expected more units"
                " than that, or use characters"
            )
        return units

    @classmethod
    def characters(cls, texts: Iterable[str] = ()) -> "CTCUnits":
        """One unit a character: a to z, apostrophe, space, and what else the texts are made of."""
        found = {character for text in texts for character in normalize_transcript(text)} - {" "}
        characters = _ALPHABET + sorted(found - set(_ALPHABET))
        vocabulary = {unit: index for index, unit in enumerate([_BLANK, *characters])}
        return cls(_tokenizer(models.BPE(vocab=vocabulary, merges=[]), prepend_scheme="never"))

    def encode(self, text: str) -> list[int]:
        """Unit ids of a text, which is normalised first.

        Raises:
            UnitsError: the text has characters that no unit has; names them.
        """
        unknown = self.unknown_characters([text])
        if unknown:
            raise UnitsError(
                f"no unit for {', '.join(repr(character) for character in sorted(unknown))} in {text!r}; write numbers"
                " and signs as words, or make units from texts that have these characters"
            )
        return self._tokenizer.encode(normalize_transcript(text), add_special_tokens=False).ids

    def encode_words(self, words: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Unit ids of each word, none where it is a mark that nobody says, and those of the space between two words.

        Raises:
            UnitsError: a word has characters that no unit has.
        """
        space = self._tokenizer.get_vocab()[_SPACE]
        return [self.encode(word) for word in words], [space] if self.kind == "char" else []

    def decode(self, ids: Sequence[int]) -> str:
        """Text of unit ids, on one line; blanks are left out."""
        return " ".join(self._tokenizer.decode(list(ids), skip_special_tokens=True).split())

    @property
    def names(self) -> list[str]:
        """How each unit is spelt, by its id; a space is written as `▁`, so that no name has one."""
        vocabulary = self._tokenizer.get_vocab()
        return sorted(vocabulary, key=vocabulary.__getitem__)

    def unknown_characters(self, texts: Iterable[str]) -> Counter[str]:
        """Characters of texts that no unit has, with their number: what keeps these texts from being learned."""
        return Counter(
            character for text in texts for character in normalize_transcript(text) if character not in self.alphabet
        )

    def save(self, path: Path) -> None:
        """Write as JSON, the file format of `tokenizers`."""
        write_text(path, self._tokenizer.to_str(pretty=True) + "\n")

    @classmethod
    def load(cls, path: Path) -> "CTCUnits":
        """Read what `save` wrote.

        Raises:
            CheckpointError: not there, or no units.
        """
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise CheckpointError(f"cannot read '{path}': {error.strerror}; expected the units of a CTC") from error
        except CheckpointError:
            raise
        except Exception as error:  # `tokenizers` raises plain exceptions
            raise CheckpointError(f"'{path}' holds no CTC units: {error}") from error


def _tokenizer(model: models.BPE, *, prepend_scheme: Literal["always", "never"]) -> Tokenizer:
    # The space belongs to the word behind it. Characters need none before the first word: it would cost a CTC frame.
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens([_BLANK])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=prepend_scheme)
    tokenizer.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme=prepend_scheme)
    return tokenizer
