"""Differences of texts rebuild them; texts put together from differences have what each of them has."""

import random

from tiny_audio.models.second_look import as_guessed, finalists, put_together, with_others
from tiny_audio.models.text_changes import Change, changes_between, single_changes, with_changes
from tiny_audio.models.word_boundaries import joined_words
from tiny_audio.text.word_list import WordList


def texts(seed: int) -> tuple[str, str]:
    rng = random.Random(seed)
    first, second = (rng.choices("abcdefg", k=rng.randrange(0, 12)) for _ in range(2))
    return " ".join(first), " ".join(second)


def test_a_text_and_what_another_differs_by_make_the_other():
    for seed in range(200):
        text, other = texts(seed)
        changes = changes_between(text, other)
        assert with_changes(text, changes) == other
        assert with_changes(text, reversed(changes)) == other
        assert not any(one.overlaps(two) for index, one in enumerate(changes) for two in changes[:index])


def test_single_changes_differ_in_one_place():
    assert single_changes("a b c d", ["a x c y", "a b c d", "a x c d", "z a b c d"]) == [
        "a x c d",
        "a b c y",
        "z a b c d",
    ]
    for seed in range(200):
        rng = random.Random(seed)
        text, other = (" ".join(rng.sample("abcdefghij", k=rng.randrange(1, 8))) for _ in range(2))
        found = single_changes(text, [other])
        assert len(found) == len(changes_between(text, other))
        assert all(len(changes_between(text, one)) == 1 for one in found)
    assert single_changes("a", [""]) == []  # nothing at all is no text


def test_two_changes_of_the_same_place_overlap():
    assert Change(1, 2, ("x",)).overlaps(Change(1, 2, ("y",)))
    assert Change(1, 1, ("x",)).overlaps(Change(1, 1, ("y",)))
    assert Change(0, 3, ()).overlaps(Change(2, 4, ()))
    assert not Change(0, 2, ()).overlaps(Change(2, 3, ()))


def test_changes_that_pay_come_together_and_the_nearly_paying_beside_them():
    gains = {"x b c d": 2.0, "a b y d": 1.0, "a b z d": 0.5, "a b c w": -1.0, "a v c d": -9.0}
    found = finalists("a b c d", gains)
    assert found[0] == put_together("a b c d", gains) == "x b y d"
    assert set(found[1:3]) == {"x b c d", "a b y d"}  # one change left out
    assert "x b z d" in found  # the other words for that place
    assert "x b y w" in found
    assert not any("v" in one for one in found)
    assert finalists("a b", {}) == finalists("a b", {"a c": -5.0}) == ["a b"]
    assert finalists("", {"a": -9.0}) == [""]  # the tokens heard nothing, and what the letters did is worth less
    assert len(set(found)) == len(found)


def test_a_guess_stands_for_a_token_before_it_or_for_those_it_leaves_out():
    assert as_guessed([1, 2, 3], [1, 2, 3, 9]) == []  # behind the text it ends
    assert as_guessed([1, 2, 3], [1, 7, 3, 9]) == [[1, 7, 3], [1, 7, 2, 3]]
    assert as_guessed([1, 2, 3], [1, 3, 3]) == [[1, 3, 3], [1, 3, 2, 3], [1, 3]]


def test_two_words_that_are_one_are_written_as_one():
    words = WordList.count(["an invalid number", "fireplace", "inconvenience", "in", "valid"])
    assert joined_words("In valid, an in convenience.", words) == [
        "Invalid, an in convenience.",
        "In valid, an inconvenience.",
    ]
    assert joined_words("in, valid fire Place an in number valid", words) == []  # a mark, a capital, no such word
    assert finalists("too many in value", {"too many in valid": 1.0}, words) == [
        "too many in valid",
        "too many in value",
        "too many invalid",
    ]


def test_what_others_differ_by_comes_beside_the_changes_that_pay():
    gains = {"x b c d": 2.0, "a b c w": -1.0}
    found = with_others("a b c d", ["a b y d", "v b c d", "a b y d", "a b c d e"], gains)
    assert found == ["x b y d", "v b c d", "x b c d e"]  # of two changes of one place the other's own is taken
    assert with_others("a b", [], {}) == []
