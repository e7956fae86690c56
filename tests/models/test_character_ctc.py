"""Letters beside the tokens: a batch equals its rows, numbers have their best reading, and misheard words are found."""

import math

import pytest
import torch
from torch.nn import functional as F

from tiny_audio.models.asr_config import CharactersConfig, DecodingConfig
from tiny_audio.models.character_candidates import IMPOSSIBLE, CharacterPosteriors
from tiny_audio.models.character_ctc import CharacterCTC, words_tensor
from tiny_audio.models.joint_decoding import text_by_sound
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.text.word_list import WordList

UNITS = CTCUnits.characters()
WORDS = WordList.count(
    ["the avoidance of rivers and of evidence in a text", "the of the and in a of the", "type set in the year"] * 20
)


def spoken(text: str, *, doubt: dict[int, str] | None = None, silence: int = 2) -> CharacterPosteriors:
    """Posteriors of letters that come one by one, with blanks between; in doubt another letter is a bit likelier."""
    rows = []
    for position, unit in enumerate(UNITS.encode(text)):
        probabilities = torch.full((UNITS.num_units + 1,), 1e-5)
        probabilities[unit] = 0.4 if doubt and position in doubt else 0.95
        if doubt and position in doubt:
            (other,) = UNITS.encode(doubt[position])
            probabilities[other] = 0.55
        blank = torch.full_like(probabilities, 1e-6)
        blank[0] = 1.0
        rows += [probabilities, *[blank] * silence]
    return CharacterPosteriors((torch.stack(rows) / torch.stack(rows).sum(1, keepdim=True)).log(), UNITS, WORDS)


def test_a_row_in_a_batch_equals_the_row_alone_and_an_odd_frame_counts():
    torch.manual_seed(0)
    model = CharacterCTC(16, CharactersConfig(hidden_dim=24, num_blocks=2)).eval()
    frames_BTD, lengths_B = torch.randn(3, 41, 16), torch.tensor([41, 8, 23])
    together = model(frames_BTD, lengths_B)
    assert together.lengths_B.tolist() == CharacterCTC.output_lengths(lengths_B).tolist() == [42, 8, 24]
    for row, (length, num_frames) in enumerate(zip(lengths_B.tolist(), together.lengths_B.tolist(), strict=True)):
        alone = model(frames_BTD[row : row + 1, :length], lengths_B[row : row + 1])
        assert torch.allclose(together.logits_BAV[row, :num_frames], alone.logits_BAV[0], atol=1e-5)


def test_words_lie_in_the_checkpoint():
    model = CharacterCTC(16, CharactersConfig(word_bytes=len(words_tensor(WORDS))))
    model.load_state_dict({**model.state_dict(), "words": words_tensor(WORDS)})
    assert model.word_list.counts == WORDS.counts
    assert CharacterCTC(16, CharactersConfig()).word_list.counts == {}


def test_the_probability_of_a_text_is_that_of_the_ctc_and_of_a_number_that_of_its_best_reading():
    letters = spoken("in fifteen eighteen the")
    log_probs_AV = letters._log_probs_AV
    texts = ["In 1518, the", "in fifteen eighteen the", "in the", "x" * 1_000]
    found = letters.log_probs(texts)
    assert found[0] == found[1] > found[2] > found[3] == IMPOSSIBLE
    ids = torch.tensor([UNITS.encode("in the")])
    loss = F.ctc_loss(log_probs_AV[:, None], ids, [len(log_probs_AV)], [ids.shape[1]], reduction="sum")
    assert found[2] == pytest.approx(-loss.item(), rel=1e-5)
    assert found[1] == pytest.approx(0.0, abs=0.1)  # each letter in its place


@pytest.mark.parametrize(
    ("heard", "draft", "expected"),
    [
        ("the avoidance of rivers", "The evidence of rivers.", "The avoidance of rivers."),
        ("the avoidance of rivers", "The avoid dance of rivers.", "The avoidance of rivers."),
        ("the avoidance of rivers", "The avoidance of.", "The avoidance of rivers."),
        ("the avoidance of rivers", "The avoidance of all rivers.", "The avoidance of rivers."),
        ("the year of rivers", "Evidence of rivers", "The year of rivers"),
        ("xylyx of rivers", "Evidence of rivers", "Xylyx of rivers"),  # of no list, but clearly spelt
    ],
)
def test_what_the_letters_spell_is_a_variant(heard: str, draft: str, expected: str):
    assert expected in spoken(heard).variants(draft, max_variants=8)


def test_a_doubtful_letter_makes_a_known_word_and_places_change_one_by_one():
    letters = spoken("the avoidance of rivers", doubt={7: "y"})  # "avoydance" is likelier by its letters alone
    assert letters._greedy_words()[1].text == "avoydance"
    variants = letters.variants("the evidence of the years", max_variants=8)
    assert {"the avoidance of the years", "the evidence of rivers"} <= set(variants)
    assert "the avoidance of rivers" not in variants


def test_a_text_that_the_letters_agree_with_has_no_likelier_variant():
    for text in ("The avoidance of rivers.", "in 1518, the type"):
        letters = spoken("in fifteen eighteen the type" if "1518" in text else "the avoidance of rivers")
        assert letters.variants(text, max_variants=8) == []
    assert spoken("the").variants("", max_variants=8)[0] == "the"
    assert len(spoken("the avoidance of rivers").variants("a b c d e f g", max_variants=2)) <= 2


def test_half_a_number_is_left_alone():
    letters = spoken("in fifteen ninety the type")
    assert all("1518" in variant for variant in letters.variants("in 1518 the type", max_variants=8))


def test_a_variants_probability_is_that_of_the_whole_text_whatever_it_is_compared_with():
    letters, alone = (spoken("the avoidance of rivers in fifteen eighteen", doubt={7: "y"}) for _ in range(2))
    text = "the evidence of the years in 1518"
    variants = letters.variants(text, max_variants=8)
    assert variants
    together = letters.log_probs([text, *variants])
    assert [alone.log_probs([one])[0] for one in [text, *variants]] == pytest.approx(together, rel=1e-6)


def test_letters_that_are_clear_are_counted_and_noise_is_not_clear():
    clarity = spoken("all the rivers").clarity()
    assert clarity.num_letters == len("alltherivers")
    assert clarity.is_clear
    doubtful = spoken("abcdef", doubt=dict.fromkeys(range(6), "x")).clarity()
    assert doubtful.mean_log_prob == pytest.approx(math.log(0.55), abs=0.1)
    assert not doubtful.is_clear
    assert not spoken("a").clarity().is_clear
    silence = CharacterPosteriors(spoken("ab")._log_probs_AV[1:3], UNITS, WORDS).clarity()
    assert (silence.num_letters, silence.is_clear) == (0, False)


def test_without_a_language_model_the_letters_and_known_words_decide():
    letters = spoken("the avoidance of rivers", doubt={7: "y"})
    draft = "the evidence of the years"
    candidates = dict.fromkeys([draft, *letters.variants(draft, max_variants=8)], -5.0)
    assert text_by_sound(candidates, letters, DecodingConfig()) == "the avoidance of rivers"
    # What the tokens are sure of stays.
    candidates = {text: -5.0 if text == draft else -500.0 for text in candidates}
    assert text_by_sound(candidates, letters, DecodingConfig()) == draft
    assert letters.word_score("the of") > letters.word_score("the rivers") > letters.word_score("the xylyx")
    assert letters.word_score("") == 0.0
