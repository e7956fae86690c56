"""What may be said where a text has digits: "1518" is "fifteen eighteen", "one thousand five hundred eighteen", ..."""

import itertools
import re

from tiny_audio.data.number_words import cardinal, digits, ordinal, year

_MAX_FORMS = 8
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+|\d+")
_ORDINAL_ENDINGS = ("st", "nd", "rd", "th")
_SPOKEN_SIGNS = {"%": " percent", "&": " and ", "@": " at ", "#": " pound ", "+": " plus ", "=": " equals "}
_MAX_DIGITS = 12


def spoken_forms(text: str) -> list[str]:
    """The texts that it may have been read as, without digits and signs, the likelier first; at most eight.

    A text without digits and signs is its only form. Currencies are left out: "£20" is "twenty" and a word more.
    """
    for sign, words in _SPOKEN_SIGNS.items():
        text = text.replace(sign, words)
    text = re.sub(r"[$£€]", "", text)
    parts: list[list[str]] = []
    end = 0
    for match in _NUMBER.finditer(text):
        if match.start() < end:
            continue
        ending = text[match.end() : match.end() + 2].lower()
        is_ordinal = ending in _ORDINAL_ENDINGS and not text[match.end() + 2 : match.end() + 3].isalpha()
        parts += [[text[end : match.start()]], _readings(match[0], is_ordinal=is_ordinal)]
        end = match.end() + (2 if is_ordinal else 0)
    parts.append([text[end:]])
    forms = ("".join(chosen) for chosen in itertools.product(*parts))
    return [" ".join(form.split()) for form in itertools.islice(forms, _MAX_FORMS)]


def numbers_in(text: str) -> tuple[str, ...]:
    """The numbers of a text: texts with the same ones have as many forms, in the same order."""
    return tuple(
        match[0] + text[match.end() : match.end() + 2].lower() * (text[match.end() : match.end() + 1].isalpha())
        for match in _NUMBER.finditer(text)
    )


def _readings(number: str, *, is_ordinal: bool) -> list[str]:
    """Of one number, with a space to both sides, so that "6pence" becomes two words."""
    plain = number.replace(",", "")
    if len(plain) > _MAX_DIGITS:
        readings = [digits(plain)]
    elif is_ordinal:
        readings = [ordinal(int(plain))]
    elif len(plain) > 1 and plain.startswith("0"):
        readings = [digits(plain), digits(plain, zero="oh")]
    else:
        value = int(plain)
        readings = [cardinal(value), cardinal(value, british=True)]
        if "," not in number and 1000 <= value < 2100:
            readings.insert(0, year(value))
        if "," not in number and len(plain) > 1:
            readings.append(digits(plain))
    return [f" {reading} " for reading in dict.fromkeys(readings)]
