"""Three parts of real sentences and one of made-up ones, shuffled: the text that the synthetic voices read.

    .venv/bin/python experiments/tiny_audio_base/mix_texts.py SENTENCES.tsv.gz TEMPLATES.tsv.gz OUT.tsv.gz DEV.jsonl...

Sentences that voices read badly (odd characters, acronyms) are left out, and so is every line that is a transcript of
three words or more in one of the DEV manifests.
"""

import gzip
import random
import re
import sys
from pathlib import Path

from tiny_audio.data.manifest import read_manifest
from tiny_audio.text.normalizers import normalize_english

SEED = 7
ODD_CHARACTER = re.compile(r"[^A-Za-z0-9 .,;:!?'\"’‘“”()\-–—]")
ACRONYM = re.compile(r"\b[A-Z]{3,}\b")


def is_odd(text: str) -> bool:
    """Whether voices would read it in a way that nobody can foresee."""
    words = text.split()
    too_long = any(len(word) > 18 for word in words)
    return not 4 <= len(words) <= 26 or too_long or bool(ODD_CHARACTER.search(text) or ACRONYM.search(text))


def read_rows(path: str) -> list[list[str]]:
    """Columns of each line: source, text and, where it differs, how the text is read aloud."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n").split("\t") for line in lines]


def main(sentences_path: str, templates_path: str, output: str, *dev_manifests: str) -> None:
    """Write the mix."""
    dev = {normalize_english(utterance.text) for path in dev_manifests for utterance in read_manifest(path)}
    dev = {text for text in dev if len(text.split()) >= 3}
    rows = read_rows(sentences_path)
    sentences = [row for row in rows if not is_odd(row[1]) and normalize_english(row[1]) not in dev]
    templates = [row for row in read_rows(templates_path) if normalize_english(row[1]) not in dev]
    rng = random.Random(SEED)
    rng.shuffle(sentences)
    rng.shuffle(templates)
    mixed = sentences + templates[: len(sentences) // 3]
    rng.shuffle(mixed)
    with Path(output).open("wb") as raw, gzip.GzipFile(fileobj=raw, filename="", mode="wb", mtime=0) as file:
        file.write("".join("\t".join(row) + "\n" for row in mixed).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
