import pytest

from tiny_audio.text.plain import plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Grüße, 世界! A --> b", "grüße 世界 a b"),
        ('"It\'s 3.5% of $1,000," she said.', "it's 3.5% of $1,000 she said"),
        ("Well-known… wait—what?!", "well-known wait what"),
        ("At 10:30, U.S. time.", "at 10:30 u.s time"),
        (" -- ?", ""),
    ],
)
def test_only_what_stands_within_words_is_kept(text: str, plain: str):
    assert plain_text(text) == plain
    assert plain_text(plain) == plain
