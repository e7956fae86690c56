import pytest

from tiny_audio.errors import UnknownNameError
from tiny_audio.text.normalizers import NORMALIZERS, get_normalizer, normalize_english

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


# The same text by all rules: none, basic, whisper-english, open-asr-leaderboard.
BY_NAME = [
    ("Hello,  World!", "Hello, World!", "hello world", "hello world", "hello world"),
    ("Don't!", "Don't!", "don t", "do not", "do not"),
    ("(laughs) Hi", "(laughs) Hi", "hi", "hi", "hi"),
    ("eight cats", "eight cats", "eight cats", "8 cats", "8 cats"),
    ("the dog's bone", "the dog's bone", "the dog s bone", "the dog is bone", "the dog s bone"),
    ("it's he's been", "it's he's been", "it s he s been", "it is he has been", "it is he has been"),
    ("the B.B.C. said", "the B.B.C. said", "the b b c said", "the b b c said", "the bbc said"),
    ("on 5 G", "on 5 G", "on 5 g", "on 5 g", "on 5g"),
    ("I a m", "I a m", "i a m", "i a m", "iam"),
    ("I a man", "I a man", "i a man", "i a man", "i a man"),
    ("um, aha, huh, yes", "um, aha, huh, yes", "um aha huh yes", "aha huh yes", "yes"),
    ("Wi-Fi", "Wi-Fi", "wi fi", "wi fi", "wifi"),
    ("kinda", "kinda", "kinda", "kind of", "kinda"),
]


@pytest.mark.parametrize(("text", "none", "basic", "whisper", "leaderboard"), BY_NAME)
def test_each_set_of_rules(text, none, basic, whisper, leaderboard):
    found = [get_normalizer(name)(text) for name in NORMALIZERS]

    assert found == [none, basic, whisper, leaderboard]


@pytest.mark.parametrize("name", NORMALIZERS)
def test_rules_carry_their_name_and_version_and_leave_single_spaces(name):
    normalizer = get_normalizer(name)

    assert normalizer.label.startswith(name)
    assert (normalizer.version == "") == (name == "none")
    assert normalizer(" a\t b\n") == "a b"
    assert normalizer("") == ""


def test_unknown_rules_are_refused_with_what_there_is():
    with pytest.raises(UnknownNameError, match=r"unknown normalizer 'whisper'; known: basic, none"):
        get_normalizer("whisper")
