"""Units of a CTC: what is normalised, what is refused, and that text comes back."""

from pathlib import Path

import pytest

from tiny_audio.errors import CheckpointError, UnitsError
from tiny_audio.text.ctc_units import BLANK_ID, CTCUnits, normalize_transcript

TEXTS = [
    "She sells sea shells by the sea shore.",
    "The shells she sells are surely seashells, so if she sells shells on the seashore,",
    "I'm sure she sells seashore shells!",
]


@pytest.fixture(scope="module", params=["bpe", "char"])
def units(request: pytest.FixtureRequest) -> CTCUnits:
    return CTCUnits.train_bpe(TEXTS, num_units=48) if request.param == "bpe" else CTCUnits.characters()


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("Don’t STOP", "don't stop"),
        ("“well-known”, said he:", "well known said he"),
        ("'tis the boys' own", "tis the boys own"),
        ("rock 'n' roll", "rock n roll"),
        ("ﬁne\u00a0ｗｉｄｅ\tspaces\n", "fine wide spaces"),
        ("wait—no… U.S.", "wait no u s"),
        ("zero\u200bwidth", "zero width"),
        ("7% of $5 & more", "7% of $5 & more"),
        ("cafe\u0301", "café"),
        ("?!", ""),
    ],
)
def test_transcripts_are_in_one_case_and_without_what_nobody_says(text: str, normalised: str):
    assert normalize_transcript(text) == normalised
    assert normalize_transcript(normalised) == normalised


def test_text_comes_back_as_its_normalised_form(units: CTCUnits):
    for text in [*TEXTS, "a", "an unseen quiz", ""]:
        ids = units.encode(text)
        assert all(BLANK_ID < unit_id <= units.num_units for unit_id in ids)
        assert units.decode(ids) == normalize_transcript(text)


def test_blanks_are_not_text(units: CTCUnits):
    ids = units.encode("sea shore")
    with_blanks = [value for unit_id in ids for value in (BLANK_ID, unit_id)]
    assert units.decode(with_blanks) == "sea shore"
    assert units.decode([BLANK_ID]) == ""


def test_subwords_are_fewer_than_characters_and_a_character_is_one_unit():
    bpe, characters = CTCUnits.train_bpe(TEXTS, num_units=64), CTCUnits.characters()
    assert (bpe.kind, characters.kind) == ("bpe", "char")
    text = "she sells shells"
    assert len(characters.encode(text)) == len(text)
    assert len(bpe.encode(text)) < len(text) / 2


def test_the_number_of_units_is_that_asked_for_without_the_blank():
    assert CTCUnits.train_bpe(TEXTS, num_units=48).num_units == 48
    assert CTCUnits.characters().num_units == 28
    assert CTCUnits.characters(["naïve 7"]).num_units == 30


def test_fewer_units_than_characters_are_refused():
    with pytest.raises(UnitsError, match="num_units is 20, but the texts have 28 characters"):
        CTCUnits.train_bpe(TEXTS, num_units=20)


def test_a_character_without_a_unit_is_refused_by_name_and_never_dropped(units: CTCUnits):
    with pytest.raises(UnitsError, match=r"no unit for '\$', '5' in 'pay \$5'.*as words"):
        units.encode("pay $5")
    assert units.unknown_characters(["pay $5", "5 a.m.", "fine"]) == {"5": 2, "$": 1}


def test_training_is_deterministic(tmp_path: Path):
    for name in "ab":
        CTCUnits.train_bpe(TEXTS, num_units=60).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_saved_units_are_the_same_units(units: CTCUnits, tmp_path: Path):
    units.save(tmp_path / "units.json")
    again = CTCUnits.load(tmp_path / "units.json")
    assert (again.kind, again.num_units, again.alphabet) == (units.kind, units.num_units, units.alphabet)
    assert [again.encode(text) for text in TEXTS] == [units.encode(text) for text in TEXTS]


@pytest.mark.parametrize("content", ["no JSON", "{}", None])
def test_a_file_without_units_is_refused(content: str | None, tmp_path: Path):
    path = tmp_path / "units.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match=r"units\.json"):
        CTCUnits.load(path)


def test_a_tokenizer_of_something_else_is_refused(tmp_path: Path):
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[])).save(str(tmp_path / "units.json"))
    with pytest.raises(CheckpointError, match="unit 0 is not '<blank>'"):
        CTCUnits.load(tmp_path / "units.json")
