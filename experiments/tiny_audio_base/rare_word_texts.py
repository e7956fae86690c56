"""Sentences full of words that the training speech has seldom or never held: what synthetic voices should read next.

    .venv/bin/python experiments/tiny_audio_base/rare_word_texts.py OUT.tsv.gz --sentences mixed.tsv.gz \
        --dictionary /usr/share/dict/american-english-large --frequencies large_en.msgpack.gz \
        --heard cache/*/index*.jsonl

The CTC writes whole tokens of the language model, and a token it has heard less than twenty times it gets wrong every
second time. Running text brings such a token once in an hour, so here the content words of real sentences give way to
the words that need it most: the sentences keep their melody and lose their sense. They are for stage `align` alone,
whose CTC looks at sounds; a language model should not learn to write them.

`--frequencies` is a file of the package wordfreq (CC BY-SA 4.0), read without its code: words by falling frequency.
`--dictionary` (Debian: wamerican-large) says which of them are words, and which are names.
"""

import argparse
import gzip
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgpack

from tiny_audio.weights.gguf import load_tokenizer

GOALS = ((10_000, 16), (25_000, 6), (45_000, 2))
"""Words up to that rank are to be heard so often."""
NUM_KEPT = 200
"""Most frequent words of English: they hold a sentence together and stay."""
MIN_SHARE = 0.4
"""Of the words of a sentence that must be able to give way."""
MAX_WORDS = 16


def ranked_words(frequencies: Path, dictionary: Path) -> Iterator[tuple[int, str]]:
    """Rank and spelling of each word of the dictionary, the most frequent first."""
    spellings: dict[str, str] = {}
    for line in dictionary.read_text(encoding="utf-8").split():
        if line.lower() not in spellings or line.islower():  # a name that is also a word is a word
            spellings[line.lower()] = line
    with gzip.open(frequencies) as file:
        groups = msgpack.load(file, raw=False)
    words = [word for group in groups[1:] for word in group]
    for rank, word in enumerate(words[: GOALS[-1][0]]):
        spelling = spellings.get(word, "")
        if re.fullmatch(r"[a-z]{3,}", word) and (spelling.islower() or spelling.istitle()):
            yield rank, spelling


def main() -> None:
    """Write the sentences, and say how many words are in them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--sentences", type=Path, required=True)
    parser.add_argument("--dictionary", type=Path, required=True)
    parser.add_argument("--frequencies", type=Path, required=True)
    parser.add_argument("--heard", type=Path, nargs="+", required=True, help="JSON lines with `text`")
    parser.add_argument("--seed", type=int, default=31)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    tokenizer = load_tokenizer()
    heard: Counter[int] = Counter()
    for path in args.heard:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                heard.update(tokenizer(" " + json.loads(line).get("text", "")).input_ids)
    kept: set[str] = set()
    needed: list[str] = []
    for rank, word in ranked_words(args.frequencies, args.dictionary):
        if len(kept) < NUM_KEPT:
            kept.add(word.lower())
            continue
        goal = next(count for limit, count in GOALS if rank < limit)
        needed += [word] * max(0, goal - min(heard[token] for token in tokenizer(" " + word).input_ids))
    sys.stderr.write(f"{len(set(needed))} words are to be heard {len(needed)} times\n")
    rng.shuffle(needed)
    with gzip.open(args.sentences, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    sentences = [row[1] for row in rows if len(row) == 2 and len(row[1].split()) <= MAX_WORDS]
    sentences = [sentence for sentence in sentences if not re.search(r"\d", sentence)]
    texts: list[str] = []
    while needed:
        words = rng.choice(sentences).split()
        cores = [re.fullmatch(r"(\W*)([A-Za-z]{3,})(\W*)", word) for word in words]
        free = [(place, core) for place, core in enumerate(cores) if core and core[2].lower() not in kept]
        if len(free) >= MIN_SHARE * len(words):
            for place, core in free[: len(needed)]:
                rare = needed.pop()
                words[place] = core[1] + (rare[0].upper() + rare[1:] if place == 0 else rare) + core[3]
            texts.append(" ".join(words))
    with args.output.open("wb") as raw, gzip.GzipFile(fileobj=raw, filename="", mode="wb", mtime=0) as file:
        file.write("".join(f"rare_words\t{text}\n" for text in dict.fromkeys(texts)).encode())
    sys.stderr.write(f"{len(texts)} sentences, {sum(len(text.split()) for text in texts)} words\n")


if __name__ == "__main__":
    main()
