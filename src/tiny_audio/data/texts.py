"""Sentences for synthetic speech: reading them from files, and making up what books and prompts lack.

A sentence has a written and a spoken form. "It cost $5.20." is read "It cost five dollars and twenty cents.", so that
every voice says the same and the model learns to write figures.
"""

import gzip
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tiny_audio.data import templates as words
from tiny_audio.data.number_words import cardinal, digits, ordinal, ordinal_digits, year
from tiny_audio.data.templates import KIND_SHARES, TEMPLATES
from tiny_audio.errors import ManifestError


@dataclass(frozen=True)
class Sentence:
    """Words to learn (`text`) and how to say them (`spoken`; empty: as written)."""

    text: str
    spoken: str = ""

    def __post_init__(self) -> None:
        if not self.spoken:
            object.__setattr__(self, "spoken", self.text)

    @property
    def has_own_spoken_form(self) -> bool:
        """True where written and spoken words differ, so that the text cannot be cut."""
        return self.spoken != self.text


def join_sentences(first: Sentence, second: Sentence) -> Sentence:
    """Both in a row, the first one closed by a full stop if it has no end."""

    def joined(left: str, right: str) -> str:
        ended = left.rstrip(")\"'”’")[-1:] in tuple(".?!,;:")
        return f"{left} {right}" if ended else f"{left}. {right}"

    return Sentence(joined(first.text, second.text), joined(first.spoken, second.spoken))


def read_sentences(path: Path) -> list[Sentence]:
    """Sentences of a text file (one a line) or of `.tsv[.gz]`: source, sentence, and optionally its spoken form.

    Raises:
        ManifestError: No such file, not UTF-8, or a table line without a sentence.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ManifestError(str(path), 0, f"cannot read the sentences: {error}") from error
    if not path.name.endswith((".tsv", ".tsv.gz")):
        return [Sentence(line.strip()) for line in lines if line.strip()]
    sentences = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) not in (2, 3) or not columns[1]:
            raise ManifestError(str(path), number, "expected source <tab> sentence [<tab> spoken form]")
        sentences.append(Sentence(*columns[1:]))
    return sentences


def write_sentences(path: Path, sentences: Sequence[Sentence], *, source: str = "templates") -> None:
    """Write a table that `read_sentences` reads back; compressed if the name ends in `.gz`."""
    lines = []
    for sentence in sentences:
        spoken = f"\t{sentence.spoken}" if sentence.has_own_spoken_form else ""
        lines.append(f"{source}\t{sentence.text}{spoken}\n")
    content = "".join(lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    # mtime=0: the same sentences give the same bytes
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def generate_sentences(count: int, *, seed: int = 0) -> list[Sentence]:
    """`count` different sentences out of the templates; the kinds are mixed as `KIND_SHARES` says.

    Raises:
        ValueError: More lines wanted than the templates can give.
    """
    rng = np.random.default_rng(seed)
    kinds = list(KIND_SHARES)
    shares = np.array([KIND_SHARES[kind] for kind in kinds])
    found: dict[str, Sentence] = {}
    misses = 0
    while len(found) < count:
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        sentence = _vary_style(_fill(_pick(TEMPLATES[kind], rng), rng), kind, rng)
        if sentence.text in found:
            misses += 1
            if misses > 1000 + 20 * count:
                raise ValueError(f"the templates gave {len(found)} different lines; ask for fewer than {count}")
            continue
        found[sentence.text] = sentence
    return list(found.values())


Filler = Callable[[np.random.Generator], Sentence]


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _fill(template: str, rng: np.random.Generator) -> Sentence:
    """Put a drawn value into every `{slot}`, in both forms."""
    text, spoken = template, template
    while slot := re.search(r"\{(\w+)\}", text):
        value = FILLERS[slot[1]](rng)
        text = text.replace(slot[0], value.text, 1)
        spoken = spoken.replace(slot[0], value.spoken, 1)
    return Sentence(_fix_article(text), _fix_article(spoken))


def _fix_article(text: str) -> str:
    """Turn "a apple" into "an apple"; names and single letters are left as they come."""
    return re.sub(r"\b([Aa]) (?=(?:[aeio]|u(?!n[iu]|s[eu]))[a-z]{2})", r"\1n ", text)


def _vary_style(sentence: Sentence, kind: str, rng: np.random.Generator) -> Sentence:
    """Prompts and words come in many spellings; sentences begin with a capital and end with a mark."""
    text, spoken = sentence.text, sentence.spoken
    loose = kind in ("prompt", "word", "number", "letters")
    if not loose or rng.random() < 0.45:
        text, spoken = _capitalize(text), _capitalize(spoken)
    if text[-1] not in '.?!,"' and (not loose or rng.random() < 0.4):
        mark = "?" if _QUESTION.match(text) else "."
        text, spoken = text + mark, spoken + mark
    return Sentence(text, spoken)


_QUESTION = re.compile(r"(who|what|where|when|why|how)('s)?\b", re.IGNORECASE)


def _capitalize(text: str) -> str:
    """First letter in upper case, also behind an opening quotation mark."""
    start = 1 if text.startswith('"') else 0
    return text[:start] + text[start : start + 1].upper() + text[start + 1 :]


def _from_list(options: Sequence[str]) -> Filler:
    return lambda rng: Sentence(_pick(options, rng))


def _number(rng: np.random.Generator, number: int, *, words_below: int = 10) -> Sentence:
    """Figures from 10 on as print does, words for half of the small ones; now and then the other way round."""
    british = bool(rng.random() < 0.4)
    spoken = cardinal(number, british=british)
    if number < words_below:
        written = str(number) if rng.random() < 0.5 else spoken
    elif rng.random() < 0.12:
        written = spoken
    else:
        written = f"{number:,}" if number >= 10_000 or (number >= 1000 and rng.random() < 0.5) else str(number)
    return Sentence(written, spoken)


def _small(rng: np.random.Generator) -> Sentence:
    return _number(rng, int(rng.integers(2, 21)))


def _tens(rng: np.random.Generator) -> Sentence:
    return _number(rng, int(rng.integers(2, 100)))


def _large(rng: np.random.Generator) -> Sentence:
    # every size equally often: 100 to 5 million
    number = int(10 ** rng.uniform(2, 6.7))
    if rng.random() < 0.4:
        number = round(number, -len(str(number)) + 2)
    return _number(rng, number)


def _single_digit(rng: np.random.Generator) -> Sentence:
    return _number(rng, int(rng.integers(0, 10)))


def _ordinal(rng: np.random.Generator) -> Sentence:
    number = int(rng.integers(1, 32)) if rng.random() < 0.7 else int(rng.integers(32, 130))
    spoken = ordinal(number)
    return Sentence(spoken if number < 10 or rng.random() < 0.3 else ordinal_digits(number), spoken)


def _year(rng: np.random.Generator) -> Sentence:
    number = int(rng.integers(1400, 2035))
    return Sentence(str(number) if rng.random() < 0.9 else year(number), year(number))


def _decade(rng: np.random.Generator) -> Sentence:
    number = int(rng.integers(175, 200)) * 10
    spoken = year(number)
    return Sentence(f"{number}s", spoken[:-1] + "ies" if spoken.endswith("y") else spoken + "s")


def _date(rng: np.random.Generator) -> Sentence:
    day, month, when = int(rng.integers(1, 29)), _pick(words.MONTHS, rng), _year(rng)
    written_day = str(day) if rng.random() < 0.6 else ordinal_digits(day)
    form = rng.random()
    if form < 0.3:
        return Sentence(f"{month} {written_day}, {when.text}", f"{month} {ordinal(day)}, {when.spoken}")
    if form < 0.5:
        return Sentence(f"the {ordinal_digits(day)} of {month}", f"the {ordinal(day)} of {month}")
    if form < 0.7:
        return Sentence(f"the {ordinal_digits(day)} {month}, {when.text}", f"the {ordinal(day)} {month}, {when.spoken}")
    if form < 0.85:
        return Sentence(f"{month} {written_day}", f"{month} {ordinal(day)}")
    return Sentence(f"{month} {when.text}", f"{month} {when.spoken}")


def _time(rng: np.random.Generator) -> Sentence:
    hour = int(rng.integers(1, 13))
    minute = int(rng.choice([0, 15, 30, 45])) if rng.random() < 0.6 else int(rng.integers(1, 60))
    form = rng.random()
    if minute == 0 and form < 0.5:
        spoken = f"{cardinal(hour)} o'clock"
        return Sentence(spoken if rng.random() < 0.5 else f"{hour} o'clock", spoken)
    half = _pick(("a.m.", "p.m."), rng)
    spoken_half = {"a.m.": "A M", "p.m.": "P M"}[half]
    middle = "" if minute == 0 else f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    written = f"{hour}:{minute:02d}" if minute or rng.random() < 0.3 else str(hour)
    if minute and form < 0.4:
        return Sentence(written, f"{cardinal(hour)}{middle}")
    return Sentence(f"{written} {half}", f"{cardinal(hour)}{middle} {spoken_half}")


def _money(rng: np.random.Generator) -> Sentence:
    sign, unit, many, cent, cents = (
        ("$", "dollar", "dollars", "cent", "cents")
        if rng.random() < 0.6
        else ("£", "pound", "pounds", "penny", "pence")
        if rng.random() < 0.7
        else ("€", "euro", "euros", "cent", "cents")
    )
    form = rng.random()
    if form < 0.2:
        amount = int(rng.integers(1, 100))
        spoken = f"{cardinal(amount)} {cent if amount == 1 else cents}"
        return Sentence(f"{amount} {cent if amount == 1 else cents}" if rng.random() < 0.8 else spoken, spoken)
    whole = int(rng.integers(1, 100)) if form < 0.7 else int(10 ** rng.uniform(2, 6))
    if whole >= 1000:
        whole = round(whole, -len(str(whole)) + 2)
    spoken = f"{cardinal(whole)} {unit if whole == 1 else many}"
    if form < 0.45:
        rest = int(rng.integers(1, 100))
        tail = f" and {cardinal(rest)} {cent if rest == 1 else cents}" if rng.random() < 0.5 else f" {cardinal(rest)}"
        return Sentence(f"{sign}{whole}.{rest:02d}", spoken + tail)
    if rng.random() < 0.3:
        return Sentence(f"{whole:,} {unit if whole == 1 else many}", spoken)
    return Sentence(f"{sign}{whole:,}", spoken)


def _decimal(rng: np.random.Generator) -> Sentence:
    whole, rest = int(rng.integers(0, 100)), str(rng.integers(1, 100))
    return Sentence(f"{whole}.{rest}", f"{cardinal(whole)} point {digits(rest)}")


def _percent(rng: np.random.Generator) -> Sentence:
    number = int(rng.integers(1, 101))
    return Sentence(f"{number}%" if rng.random() < 0.6 else f"{number} percent", f"{cardinal(number)} percent")


def _degrees(rng: np.random.Generator) -> Sentence:
    number = int(rng.integers(2, 100))
    return Sentence(f"{number} degrees", f"{cardinal(number)} degrees")


def _fraction(rng: np.random.Generator) -> Sentence:
    return Sentence(
        _pick("half,a quarter,three quarters,a third,two thirds,a fifth,nine tenths,one and a half".split(","), rng)
    )


def _digit_string(rng: np.random.Generator, lengths: tuple[int, int]) -> Sentence:
    text = "".join(str(d) for d in rng.integers(0, 10, int(rng.integers(*lengths))))
    spoken = digits(text, zero=_pick(("zero", "zero", "oh"), rng))
    return Sentence(text if rng.random() < 0.8 else " ".join(text), spoken)


def _phone(rng: np.random.Generator) -> Sentence:
    groups = [3, 4] if rng.random() < 0.4 else [3, 3, 4] if rng.random() < 0.7 else [5, 6]
    drawn = ["".join(str(d) for d in rng.integers(0, 10, size)) for size in groups]
    return Sentence(
        _pick(("-", " "), rng).join(drawn), digits(" ".join(drawn), zero=_pick(("zero", "zero", "oh"), rng))
    )


def _name(rng: np.random.Generator) -> Sentence:
    first, last = _pick(words.FIRST_NAMES, rng), _pick(words.LAST_NAMES, rng)
    form = rng.random()
    if form < 0.7:
        return Sentence(f"{first} {last}")
    if form < 0.9:
        title, spoken = (("Mr.", "Mister"), ("Mrs.", "Missus"), ("Dr.", "Doctor"), ("Miss", "Miss"))[
            int(rng.integers(4))
        ]
        return Sentence(f"{title} {last}", f"{spoken} {last}")
    return Sentence(f"{first} {_pick(words.LETTERS, rng).upper()}. {last}")


def _address(rng: np.random.Generator) -> Sentence:
    number = int(rng.integers(1, 200)) if rng.random() < 0.7 else int(rng.integers(200, 10_000))
    high, low = divmod(number, 100)
    spoken = cardinal(number) if not high or not low else f"{cardinal(high)} {'oh ' if low < 10 else ''}{cardinal(low)}"
    street = f"{_pick(words.STREETS, rng)} {_pick(words.STREET_KINDS, rng)}"
    if rng.random() < 0.15:
        nth = int(rng.integers(1, 60))
        street_text, street_spoken = f"{ordinal_digits(nth)} Street", f"{ordinal(nth)} Street"
    else:
        street_text = street_spoken = street
    city = f", {_pick(words.CITIES, rng)}" if rng.random() < 0.4 else ""
    return Sentence(f"{number} {street_text}{city}", f"{spoken} {street_spoken}{city}")


def _letters(rng: np.random.Generator) -> Sentence:
    drawn = [_pick(words.LETTERS, rng).upper() for _ in range(int(rng.integers(2, 6)))]
    return Sentence(_pick((" ", ", "), rng).join(drawn), ", ".join(drawn))


def _plural(rng: np.random.Generator) -> Sentence:
    noun = _pick(words.NOUNS, rng)
    if noun.endswith(("s", "x", "ch", "sh", "man", "woman", "child", "foot", "tooth", "goose", "mouse", "f", "fe")):
        return Sentence("people")
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return Sentence(noun[:-1] + "ies")
    return Sentence(noun + "s")


FILLERS: Mapping[str, Filler] = MappingProxyType(
    {
        "first": _from_list(words.FIRST_NAMES),
        "last": _from_list(words.LAST_NAMES),
        "name": _name,
        "city": _from_list(words.CITIES),
        "address": _address,
        "month": _from_list(words.MONTHS),
        "day": _from_list(words.DAYS),
        "noun": _from_list(words.NOUNS),
        "nouns": _plural,
        "adjective": _from_list(words.ADJECTIVES),
        "verb": _from_list(words.VERBS),
        "technical": _from_list(words.TECHNICAL),
        "drink": _from_list(words.DRINKS),
        "food": _from_list(words.FOODS),
        "size": _from_list(words.SIZES),
        "milk": _from_list(words.MILKS),
        "extra": _from_list(words.EXTRAS),
        "key": _from_list(words.KEYS),
        "action": _from_list(words.PHONE_ACTIONS),
        "prompt": _from_list(words.PROMPTS),
        "command": lambda rng: _fill(_pick(words.COMMANDS, rng), rng),
        "letter": lambda rng: Sentence(_pick(words.LETTERS, rng)),
        "letters": _letters,
        "digit": _single_digit,
        "small": _small,
        "tens": _tens,
        "large": _large,
        "ordinal": _ordinal,
        "year": _year,
        "decade": _decade,
        "date": _date,
        "time": _time,
        "money": _money,
        "decimal": _decimal,
        "percent": _percent,
        "degrees": _degrees,
        "fraction": _fraction,
        "digits": lambda rng: _digit_string(rng, (2, 9)),
        "extension": lambda rng: _digit_string(rng, (3, 5)),
        "phone": _phone,
    }
)
