r"""ARPA files of n-gram models: the text format that SRILM, KenLM and others read and write.

    \data\
    ngram 1=3
    ...
    \1-grams:
    -0.4771<TAB>hello<TAB>-0.3010        log10 probability, tokens, log10 back-off
    \end\

A name that ends in `.gz` is compressed.
"""

import gzip
import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tiny_audio import atomic
from tiny_audio.errors import NGramError
from tiny_audio.text.ngram import NGram, NGramKey

_LOG10 = math.log(10)
_NEVER = -99.0
"""Stands for a probability of 0, by custom."""
_COUNT = re.compile(r"ngram +(\d+) *= *(\d+)")
_SECTION = re.compile(r"\\(\d+)-grams:")


def write_arpa(path: Path, model: NGram) -> None:
    """Write a model; the file appears whole or not at all."""
    keys = sorted({*model.log_probs, *model.backoffs}, key=lambda key: (len(key), key))
    sizes = Counter(map(len, keys))
    lines = ["\\data\\", *(f"ngram {size}={sizes[size]}" for size in range(1, model.order + 1))]
    for size in range(1, model.order + 1):
        lines += ["", f"\\{size}-grams:"]
        for key in keys:
            if len(key) == size:
                log_prob = model.log_probs.get(key)
                line = f"{_NEVER if log_prob is None else log_prob / _LOG10:.7g}\t{' '.join(key)}"
                backoff = model.backoffs.get(key)
                lines.append(line if backoff is None else f"{line}\t{backoff / _LOG10:.7g}")
    text = "\n".join([*lines, "", "\\end\\", ""])
    if path.suffix == ".gz":
        atomic.write_bytes(path, gzip.compress(text.encode(), mtime=0))
    else:
        atomic.write_text(path, text)


def read_arpa(path: Path) -> NGram:
    """Read a model of any order.

    Raises:
        NGramError: not there, or no whole ARPA file; says in which line.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = io.StringIO(data.decode("utf-8"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise NGramError(f"cannot read '{path}': {error}; expected an ARPA file") from error
    log_probs: dict[NGramKey, float] = {}
    backoffs: dict[NGramKey, float] = {}
    expected: dict[int, int] = {}
    found: Counter[int] = Counter()
    size, ended = 0, False
    for number, line in _content(lines):
        if count := _COUNT.fullmatch(line):
            expected[int(count[1])] = int(count[2])
        elif section := _SECTION.fullmatch(line):
            size = int(section[1])
        elif line == "\\end\\":
            ended = True
            break
        elif size:
            key, log_prob, backoff = _row(line, size, f"{path}:{number}")
            found[size] += 1
            if log_prob > _NEVER:
                log_probs[key] = log_prob * _LOG10
            if backoff is not None:
                backoffs[key] = backoff * _LOG10
    if not ended or not expected or found != Counter(expected):
        state = "has no \\end\\" if not ended else f"lists {dict(found)} n-grams and announces {expected}"
        raise NGramError(f"'{path}' {state}; expected a whole ARPA file")
    return NGram(order=max(expected), log_probs=log_probs, backoffs=backoffs)


def _content(lines: io.StringIO) -> Iterator[tuple[int, str]]:
    r"""Numbered lines from `\data\` on, without empty ones."""
    begun = False
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        begun = begun or line == "\\data\\"
        if begun and line and line != "\\data\\":
            yield number, line


def _row(line: str, size: int, place: str) -> tuple[NGramKey, float, float | None]:
    fields = line.split()
    try:
        if len(fields) not in (size + 1, size + 2):
            raise ValueError(f"{len(fields)} fields")
        backoff = float(fields[-1]) if len(fields) == size + 2 else None
        return tuple(fields[1 : size + 1]), float(fields[0]), backoff
    except ValueError as error:
        raise NGramError(
            f"{place}: {error}; expected a log10 probability, {size} tokens and perhaps a back-off"
        ) from None
