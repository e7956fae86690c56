"""Markup, invisible and broken characters, and mixed scripts in transcripts."""

import re
import unicodedata

_JOINERS = "\u200c\u200d"  # part of the spelling in Persian and in Indian languages
_MARKUP = re.compile(r"<[^<>]{1,40}>|\[[^\[\]]{1,40}\]|\{[^{}]{1,40}\}|&(?:\w{2,6}|#\d{2,5});")
_MOJIBAKE = re.compile("Ã[\x80-\xbf]|â€|Â[\xa0-\xbf]")


def odd_characters(text: str) -> list[str]:
    """What in a transcript nobody says, in words, one item for each; empty if all is well."""
    odd = sorted({character for character in text if _is_odd(character)})
    found = [f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip() for character in odd]
    found += [f"markup {match[0]}" for match in _MARKUP.finditer(text)]
    found += [f"wrongly decoded {match[0]!r}" for match in _MOJIBAKE.finditer(text)]
    found += [f"letters of several scripts in '{word}'" for word in text.split() if len(_scripts(word)) > 1]
    if not unicodedata.is_normalized("NFC", text):
        found.append("accents apart from their letters (not NFC)")
    return found


def _is_odd(character: str) -> bool:
    is_known = character.isspace() or character in _JOINERS
    return character == "\ufffd" or (unicodedata.category(character).startswith("C") and not is_known)


def _scripts(word: str) -> set[str]:
    """Of Latin and Cyrillic, whose letters look alike, those that a word is written in; a Greek one may be a unit."""
    names = {unicodedata.name(letter, "").partition(" ")[0] for letter in word if letter.isalpha()}
    return names & {"LATIN", "CYRILLIC"}
