import pytest

from tiny_audio.text.normalizers import normalize_english

# Pairs that a listener would call the same words; the right side is what both become.
SAME_WORDS = [
    ("Hello, World!", "hello world", "hello world"),
    ("“Quoted” – and dashed", "quoted and dashed", "quoted and dashed"),
    ("two  spaces\tand\nlines", "Two spaces, and lines.", "2 spaces and lines"),
    ("don't", "do not", "do not"),
    ("I'll", "I will", "i will"),
    ("it's", "it is", "it is"),
    ("won't", "will not", "will not"),
    ("gonna", "going to", "going to"),
    ("eight", "8", "8"),
    ("twenty-one", "21", "21"),
    ("one hundred and five", "105", "105"),
    ("3,000", "three thousand", "3000"),
    ("nineteen eighty four", "1984", "1984"),
    ("two and a half", "2.5", "2.5"),
    ("first", "1st", "1st"),
    ("twenty dollars", "$20", "$20"),
    ("five percent", "5%", "5%"),
    ("seven shillings, six pence", "7 shillings, 6 pence", "7 shillings 6 pence"),
    ("Mr. Smith", "mister smith", "mister smith"),
    ("Mrs. Jones", "missus Jones", "missus jones"),
    ("Dr. Who", "Doctor Who", "doctor who"),
    ("the colour grey", "the color gray", "the color gray"),
    ("um, well", "Well.", "well"),
    ("naïve café", "naive cafe", "naive cafe"),
    ("[door slams] come in", "Come in.", "come in"),
    ("e-mail", "e mail", "e mail"),
]


@pytest.mark.parametrize(("left", "right", "expected"), SAME_WORDS)
def test_different_spellings_of_the_same_words_become_equal(left, right, expected):
    assert normalize_english(left) == expected
    assert normalize_english(right) == expected


@pytest.mark.parametrize("text", [expected for _, _, expected in SAME_WORDS])
def test_a_normalised_text_stays_as_it_is(text):
    assert normalize_english(text) == text


@pytest.mark.parametrize("text", ["", "  ", "?!", "[music]", "(laughs)", "uh"])
def test_texts_without_words_become_empty(text):
    assert normalize_english(text) == ""


def test_different_words_stay_different():
    texts = ["their", "there", "18", "80", "one", "won", "can", "can't", "$20", "20"]

    assert len({normalize_english(text) for text in texts}) == len(texts)
