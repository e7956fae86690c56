"""The recogniser ready to transcribe: batch equals single in every format, both judges decide, silence has no words."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny_audio.errors import ConfigError
from tiny_audio.inference import recognizer as recognizer_module
from tiny_audio.inference.recognizer import Hypothesis, Recognizer
from tiny_audio.models import int8
from tiny_audio.models.asr_config import DecodingConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.hotwords import count_hotwords, with_hotwords
from tiny_audio.models.joint_decoding import CandidateScores, choose_text
from tiny_audio.text.prompts import encode_transcript
from tiny_models import TINY_CONFIG, tiny_asr_model

DTYPES = [
    "float32",
    "bfloat16",
    "float16",
    pytest.param("int8", marks=pytest.mark.skipif(not int8.is_supported(), reason="no 8-bit products")),
]


@pytest.fixture(scope="module")
def model() -> ASRModel:
    return tiny_asr_model()


@pytest.fixture
def noise_counts_as_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is what a tiny model hears here, and its texts would all be emptied; the guard has tests of its own."""
    monkeypatch.setattr(recognizer_module, "NO_SPEECH_THRESHOLD", 2.0)


def noise(num_samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_gives_the_same_hypotheses_as_each_clip_alone(
    model: ASRModel, dtype: str, noise_counts_as_speech: None
):
    recognizer = Recognizer(model, dtype=dtype, with_words=True)
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 1_600, 24_321, 9_999))]
    together = recognizer.transcribe_waveforms(waveforms)
    alone = [recognizer.transcribe_waveforms([waveform])[0] for waveform in waveforms]
    if dtype == "int8":  # to the last bit: sums of integers are exact
        assert together == alone
    for left, right in zip(together, alone, strict=True):
        assert replace(left, avg_logprob=None) == replace(right, avg_logprob=None)
        assert left.avg_logprob == pytest.approx(right.avg_logprob, abs=1e-5)
    assert all(hypothesis.text for hypothesis in together if hypothesis.draft)
    assert any(hypothesis.draft for hypothesis in together)


def test_every_language_model_is_asked_the_same_way(noise_counts_as_speech: None):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 24_321))]
    model = tiny_asr_model()
    fast = Recognizer(model)
    slow = Recognizer(model)
    slow.runner, slow.speech_llm = None, model.speech_llm
    assert fast.runner is not None
    for left, right in zip(fast.transcribe_waveforms(waveforms), slow.transcribe_waveforms(waveforms), strict=True):
        assert (left.text, left.draft) == (right.text, right.draft)
        assert left.text
        assert left.avg_logprob == pytest.approx(right.avg_logprob, abs=1e-3)
    other = Recognizer(tiny_asr_model(family="qwen3"))
    assert other.runner is None
    assert len(other.transcribe_waveforms(waveforms)) == 2


def test_fast_mode_is_the_draft_and_loads_no_language_model(model: ASRModel, noise_counts_as_speech: None):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 24_321))]
    fast, accurate = Recognizer(model, mode="fast"), Recognizer(model)
    assert (fast.runner, fast.speech_llm) == (None, None)
    for quick, thorough in zip(
        fast.transcribe_waveforms(waveforms), accurate.transcribe_waveforms(waveforms), strict=True
    ):
        assert quick.draft == thorough.draft
        assert quick.text in (quick.draft, "")


def test_mode_letters_is_refused_where_there_are_none(model: ASRModel):
    with pytest.raises(ConfigError, match="does not have; use fast, or add one"):
        Recognizer(model, mode="letters")


def test_a_projector_without_ctc_is_transcribed_by_the_language_model_alone():
    projector = replace(TINY_CONFIG.projector, kind="swiglu", aligned=False)
    recognizer = Recognizer(tiny_asr_model(replace(TINY_CONFIG, projector=projector)), with_words=True)
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 24_321))]
    together = recognizer.transcribe_waveforms(waveforms)
    assert [one.draft for one in together] == ["", ""]
    alone = [recognizer.transcribe_waveforms([waveform])[0] for waveform in waveforms]
    assert [one.text for one in together] == [one.text for one in alone]
    assert all(len(one.words) == len(one.text.split()) for one in together)


def test_weights_move_the_choice_between_the_judges():
    scores = {
        "heard": CandidateScores(llm=-9.0, ctc=-1.0, text=-12.0),
        "fluent text": CandidateScores(llm=-2.0, ctc=-20.0, text=-15.0),
    }

    def chosen(**weights: float) -> str:
        none = dict.fromkeys(["text_weight", "llm_weight", "ctc_weight", "character_weight", "word_bonus"], 0.0)
        return choose_text(scores, decoding=DecodingConfig(**none | weights))

    assert chosen(llm_weight=1.0) == "fluent text"
    assert chosen(text_weight=1.0) == "heard"
    assert chosen(llm_weight=1.0, text_weight=2.0) == "fluent text"
    assert chosen(llm_weight=1.0, text_weight=3.0) == "heard"
    assert chosen(llm_weight=1.0, ctc_weight=1.0) == "heard"
    assert chosen(llm_weight=1.0, ctc_weight=1.0, word_bonus=13.0) == "fluent text"
    scores["heard"] = replace(scores["heard"], characters=-30.0)
    assert chosen(llm_weight=1.0, ctc_weight=1.0, character_weight=1.0) == "fluent text"


def test_what_is_considered_has_the_scores_of_texts_and_the_best_is_taken(
    model: ASRModel, noise_counts_as_speech: None
):
    recognizer = Recognizer(model)
    num_whole = 0
    for seed, num_samples in enumerate((16_000, 24_321, 32_000, 40_000)):
        waveform = noise(num_samples, seed)
        considered = recognizer.consider(waveform)
        (heard,) = recognizer._hear_waveforms([waveform])
        texts = list(considered.scores)
        token_ids = [encode_transcript(model.tokenizer, text) for text in texts]
        # The first is read whole, another one only so far behind its change: exact if it has no more than that.
        whole = [0, *(row for row in range(1, len(texts)) if num_shared_at_the_end(token_ids[0], token_ids[row]) <= 4)]
        num_whole += len(whole)
        ids = [token_ids[row] for row in whole]
        of_whole = [considered.scores[texts[row]] for row in whole]
        assert [one.llm for one in of_whole] == pytest.approx(model.speech_llm.score(heard.embeds_AE, ids), abs=1e-3)
        silence = heard.embeds_AE[:0]
        assert [one.text for one in of_whole] == pytest.approx(model.speech_llm.score(silence, ids), abs=1e-3)
        (chosen,) = recognizer.transcribe_waveforms([waveform])
        best = choose_text(considered.scores, decoding=recognizer.config.decoding)
        assert chosen.draft == considered.draft
        assert chosen.text == (chosen.draft if chosen.flagged else best)
    assert num_whole > 6


def num_shared_at_the_end(left: list[int], right: list[int]) -> int:
    shortest = min(len(left), len(right))
    start = next((place for place in range(shortest) if left[place] != right[place]), shortest)
    rests = zip(reversed(left[start:]), reversed(right[start:]), strict=False)
    return next((size for size, (one, other) in enumerate(rests) if one != other), shortest - start)


def test_when_the_ctc_hears_nothing_the_language_model_is_not_asked():
    model = tiny_asr_model()
    with torch.no_grad():
        model.projector.blank.bias.fill_(100.0)
    (hypothesis,) = Recognizer(model).transcribe_waveforms([noise(16_000, 5)])
    assert (hypothesis.text, hypothesis.draft, hypothesis.no_speech) == ("", "", True)
    assert (hypothesis.no_speech_prob, hypothesis.num_passes) == (1.0, 0)


def test_hotwords_take_the_place_of_words_that_sound_alike():
    assert with_hotwords("call jon, now", ["John"])[0] == "call John, now"
    assert "dial 2 in the voicemail." in with_hotwords("dial 2 in the voice mail.", ["voicemail"])
    assert with_hotwords("dial 2 in the voice mail", ["Krzys"]) == []  # nothing is spelled like it
    assert with_hotwords("call John, now", ["john"]) == []  # it is there already
    assert count_hotwords("Call JOHN's mill.", ["John's", "mill", "call john"]) == 2


def test_a_hotword_is_heard_only_if_its_bonus_outweighs_the_sound(model: ASRModel, noise_counts_as_speech: None):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 24_321))]
    usual = Recognizer(model).transcribe_waveforms(waveforms)

    def told(bonus: float) -> list[Hypothesis]:
        recognizer = Recognizer(model)
        recognizer.config = replace(model.config, decoding=replace(model.config.decoding, hotword_bonus=bonus))
        return recognizer.transcribe_waveforms(waveforms, hotwords=["2 2"])

    assert [one.text for one in told(-1000.0)] == [one.text for one in usual]
    assert all("2 2" in one.text for one in told(1000.0) if not one.flagged)
    assert not all(one.flagged for one in told(1000.0))
    with pytest.raises(ConfigError, match="mode accurate"):
        Recognizer(model, mode="fast").transcribe_waveforms(waveforms, hotwords=["2 2"])
