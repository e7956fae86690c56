"""Numbers as they are read aloud: the year 1808 is "eighteen oh eight", a count of 1808 starts with "one thousand"."""

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int, *, british: bool = False) -> str:
    """Words of a whole number below a trillion; `british` says "hundred and five".

    Raises:
        ValueError: Negative, or a trillion and more.
    """
    if not 0 <= number < 10**12:
        raise ValueError(f"found {number}; expected 0 <= number < 10**12")
    if number < 20:
        return _UNITS[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_UNITS[number % 10]}" if number % 10 else "")
    joint = " and " if british else " "
    if number < 1000:
        rest = number % 100
        return f"{_UNITS[number // 100]} hundred" + (joint + cardinal(rest) if rest else "")
    for size, name in _SCALES:
        if number >= size:
            rest = number % size
            between = joint if rest < 100 else " "
            tail = between + cardinal(rest, british=british) if rest else ""
            return f"{cardinal(number // size, british=british)} {name}{tail}"
    raise AssertionError("unreachable")


def ordinal(number: int) -> str:
    """Words of an ordinal: 21 is "twenty-first"."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return words[:cut] + last


def ordinal_digits(number: int) -> str:
    """Digits with their ending: 21 is "21st", 112 is "112th"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def year(number: int) -> str:
    """Words of a year from 1000 to 2099: 1905 is "nineteen oh five", 2007 "two thousand seven"."""
    century, rest = divmod(number, 100)
    if 2000 <= number < 2010 or number % 1000 == 0:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def digits(text: str, *, zero: str = "zero") -> str:
    """Every digit by itself; other characters become pauses: "555-0142" is "five five five, zero one four two"."""
    groups = "".join(c if c.isdigit() else " " for c in text).split()
    return ", ".join(" ".join(zero if c == "0" else _UNITS[int(c)] for c in group) for group in groups)
