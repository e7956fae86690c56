"""A list of words counts them, and comes back from its bytes."""

import math

from tiny_audio.text.word_list import WordList


def test_words_are_counted_without_case_marks_and_digits():
    words = WordList.count(["The cat, the dog's bone.", "THE 3 cats"])
    assert words.counts == {"the": 3, "cat": 1, "dog's": 1, "bone": 1, "cats": 1}
    assert math.isclose(math.exp(words.log_probs["the"]), 3 / 7)
    assert {"c", "ca", "cat", "cats", "dog'"} <= words.beginnings
    assert "ats" not in words.beginnings


def test_a_list_comes_back_from_its_bytes_and_of_no_bytes_nothing():
    words = WordList.count(["one two two", "three"])
    again = WordList.from_bytes(words.to_bytes())
    assert (again.counts, again.beginnings) == (words.counts, words.beginnings)
    assert again.to_bytes() == words.to_bytes()
    assert WordList.from_bytes(b"").counts == {}
