"""How numbers and tokens are written on the page."""

from html import escape

from tiny_audio.models.words import Word


def percent(part: float, whole: float) -> str:
    """A share of a length, for CSS."""
    return f"{100 * part / whole:.3f}%"


def share(probability: float) -> str:
    """A probability in percent; neither 0 nor 100 where it is not."""
    if probability >= 0.9995:
        return "100 %" if probability == 1 else "> 99.9 %"
    return f"{100 * probability:.1f} %" if probability >= 0.0005 else "< 0.1 %"


def number(value: float, digits: int = 4) -> str:
    """With a true minus, and no minus before a zero."""
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def visible(token: str) -> str:
    """A token with its space and line ends made visible, and a box for what cannot be shown."""
    shown = token.replace("\n", "⏎").replace(" ", "·")
    return "".join(letter if letter.isprintable() else "□" for letter in shown) or "∅"


def visible_html(token: str) -> str:
    """The same, safe within a page."""
    return escape(visible(token))


def heard(word: Word) -> str:
    """What the times of a word rest on."""
    return f"CTC is {share(word.confidence)} sure" if word.confidence else "not heard by a CTC, placed between others"
