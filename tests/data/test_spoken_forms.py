"""Numbers are written as they may have been read."""

import pytest

from tiny_audio.data.spoken_forms import spoken_forms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No number at all.", "No number at all."),
        ("in 1518 the", "in fifteen eighteen the"),
        ("in 1518 the", "in one thousand five hundred eighteen the"),
        ("£285,950;", "two hundred and eighty-five thousand nine hundred and fifty ;"),
        ("6pence", "six pence"),
        ("the 21st of", "the twenty-first of"),
        ("dial 500", "dial five zero zero"),
        ("dial 500", "dial five hundred"),
        ("007", "zero zero seven"),
        ("AT&T 5%", "AT and T five percent"),
    ],
)
def test_a_reading_is_among_the_forms(text: str, expected: str):
    forms = spoken_forms(text)
    assert expected in forms
    assert len(forms) == len(set(forms)) <= 8
    assert not any(character.isdigit() for form in forms for character in form)


def test_a_text_with_many_numbers_has_a_few_forms_and_one_without_has_itself():
    assert len(spoken_forms("1501 1502 1503 1504 1505 1506")) == 8
    assert spoken_forms("  two   words ") == ["two words"]
    assert spoken_forms("") == [""]
