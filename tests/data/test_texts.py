import gzip
import re

import numpy as np
import pytest

from tiny_audio.data.number_words import cardinal, digits, ordinal, ordinal_digits, year
from tiny_audio.data.templates import KIND_SHARES, TEMPLATES
from tiny_audio.data.texts import (
    FILLERS,
    Sentence,
    generate_sentences,
    join_sentences,
    read_sentences,
    write_sentences,
)
from tiny_audio.errors import ManifestError
from tiny_audio.text.normalizers import normalize_english


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (105, "one hundred five"),
        (1808, "one thousand eight hundred eight"),
        (2_000_003, "two million three"),
        (123_456, "one hundred twenty-three thousand four hundred fifty-six"),
    ],
)
def test_cardinal(number, words):
    assert cardinal(number) == words


def test_british_cardinals_say_and():
    assert cardinal(1_000_005, british=True) == "one million and five"
    assert cardinal(604_895, british=True) == "six hundred and four thousand eight hundred and ninety-five"


@pytest.mark.parametrize("number", [-1, 10**12])
def test_cardinal_refuses_what_it_cannot_say(number):
    with pytest.raises(ValueError, match="expected 0 <= number"):
        cardinal(number)


@pytest.mark.parametrize(
    ("number", "words", "short"),
    [
        (1, "first", "1st"),
        (12, "twelfth", "12th"),
        (20, "twentieth", "20th"),
        (21, "twenty-first", "21st"),
        (43, "forty-third", "43rd"),
        (112, "one hundred twelfth", "112th"),
    ],
)
def test_ordinals(number, words, short):
    assert ordinal(number) == words
    assert ordinal_digits(number) == short


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1469, "fourteen sixty-nine"),
        (1808, "eighteen oh eight"),
        (1900, "nineteen hundred"),
        (2000, "two thousand"),
        (2007, "two thousand seven"),
        (2024, "twenty twenty-four"),
    ],
)
def test_year(number, words):
    assert year(number) == words


def test_digits_pause_between_groups():
    assert digits("555-0142") == "five five five, zero one four two"
    assert digits("50", zero="oh") == "five oh"


def test_generated_lines_are_unique_reproducible_and_complete():
    lines = generate_sentences(3000, seed=5)
    assert lines == generate_sentences(3000, seed=5)
    assert lines != generate_sentences(3000, seed=6)
    assert len({line.text for line in lines}) == 3000
    vocabulary = {word.lower().strip('.,?!"') for line in lines for word in line.text.split()}
    assert len(vocabulary) > 2000
    for line in lines:
        for form in (line.text, line.spoken):
            assert form == form.strip()
            assert not re.search(r"[{}|\t\n]|  ", form), form
        assert not re.search(r"\d", line.spoken), line
        assert not re.search(r"[$£€%]", line.spoken), line


def test_thirty_thousand_lines_are_possible():
    assert len(generate_sentences(30_000, seed=1)) == 30_000


def test_every_template_names_known_slots_and_every_kind_has_a_share():
    slots = {slot for options in TEMPLATES.values() for option in options for slot in re.findall(r"\{(\w+)\}", option)}
    assert slots <= set(FILLERS)
    assert set(KIND_SHARES) == set(TEMPLATES)
    assert sum(KIND_SHARES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("slot", ["digit", "small", "tens", "large", "year", "decade", "decimal", "percent", "degrees"])
def test_counts_score_the_same_written_and_spoken(slot):
    """The scorer turns number words into figures, so a model may write either form of a count."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        value = FILLERS[slot](rng)
        assert normalize_english(value.text) == normalize_english(value.spoken)


def test_sentences_are_joined_by_a_full_stop_where_one_is_missing():
    assert join_sentences(Sentence("Press 1", "Press one"), Sentence("Wait.")) == Sentence(
        "Press 1. Wait.", "Press one. Wait."
    )
    assert join_sentences(Sentence("Why?"), Sentence("Wait.")).text == "Why? Wait."
    assert join_sentences(Sentence('"Go!"'), Sentence("He went.")).text == '"Go!" He went.'


@pytest.mark.parametrize("name", ["lines.tsv", "lines.tsv.gz"])
def test_tables_survive_a_round_trip(tmp_path, name):
    lines = [Sentence("Press 2.", "Press two."), Sentence("Hello there")]
    write_sentences(tmp_path / name, lines)
    assert read_sentences(tmp_path / name) == lines


def test_plain_text_is_one_sentence_a_line(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("First one.\n\n  Second\tone \n", encoding="utf-8")
    assert [sentence.text for sentence in read_sentences(path)] == ["First one.", "Second\tone"]


def test_damaged_tables_are_named_with_their_line(tmp_path):
    path = tmp_path / "lines.tsv"
    path.write_text("books\tFine.\nno tab here\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"lines\.tsv:2: expected source <tab> sentence"):
        read_sentences(path)
    cut = tmp_path / "cut.tsv.gz"
    cut.write_bytes(gzip.compress(b"a\tb\n")[:-6])
    with pytest.raises(ManifestError, match="cannot read the sentences"):
        read_sentences(cut)
    with pytest.raises(ManifestError, match="cannot read the sentences"):
        read_sentences(tmp_path / "missing.txt")
