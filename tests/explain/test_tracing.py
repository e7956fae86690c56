"""A trace says what the model's parts give, seen from outside."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from explain.conftest import CLIP, WAVEFORM, sure
from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.explain.page.page import trace_page
from tiny_audio.explain.trace import Trace
from tiny_audio.explain.tracing import trace_clip
from tiny_audio.explain.views import most_active, nearest_tokens
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models.asr_config import CharactersConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.text.prompts import encode_transcript
from tiny_models import TINY_CONFIG


def test_the_text_is_what_the_recogniser_understands(aligned: ASRModel, aligned_trace: Trace) -> None:
    (heard,) = Recognizer(aligned, with_words=True).transcribe_waveforms([WAVEFORM])
    assert aligned_trace.text
    assert (aligned_trace.text, aligned_trace.draft, aligned_trace.words) == (heard.text, heard.draft, heard.words)


def test_the_stages_fit_into_each_other(aligned: ASRModel, aligned_trace: Trace) -> None:
    shapes = {stage.name: stage.shape for stage in aligned_trace.stages}
    assert shapes["Waveform"] == (24_000,)
    assert shapes["Log-mel"] == (80, 150)
    assert shapes["Encoder"] == (75, 64)
    assert shapes["Projector"] == (19, 16)
    kept = sum(aligned_trace.ctc.kept_A)
    assert shapes["Audio in the prompt"] == (kept, 16)
    assert 0 < kept < 19, "the clip has to show both"
    assert shapes["Language model"] == (len(aligned_trace.answer), len(aligned.tokenizer))
    encoder = aligned.encode(WAVEFORM)
    assert aligned_trace.stages[2].mean == pytest.approx(encoder.mean().item())
    assert aligned_trace.stages[2].highest == pytest.approx(encoder.max().item())


@torch.inference_mode()
def test_the_dimensions_shown_are_those_that_vary_most() -> None:
    torch.manual_seed(0)
    output_TD = torch.randn(50, 10) * torch.tensor([1.0, 5, 2, 9, 3, 8, 4, 7, 6, 0.1]) + 100
    activity = most_active(output_TD, frame_duration=0.02, num_rows=3)
    assert activity.dims_N == (3, 5, 7)
    assert activity.num_dims == 10
    np.testing.assert_array_equal(activity.values_NT, output_TD[:, [3, 5, 7]].T.numpy())


def test_the_nearest_token_points_the_same_way(aligned: ASRModel) -> None:
    table_VE = aligned.table_VE.detach()
    louder_and_noisy = 7 * table_VE[[5, 90]] + 0.01
    (first, *_), (second, *_) = nearest_tokens(louder_and_noisy, table_VE, aligned.tokenizer, num_tokens=2)
    assert (first.text, second.text) == (aligned.tokenizer.decode([5]), aligned.tokenizer.decode([90]))
    assert 0.95 < first.value <= 1.000001
    opposite = nearest_tokens(-table_VE[[5]], table_VE, aligned.tokenizer, num_tokens=1)
    assert opposite[0][0].text != first.text


def test_ctc_probabilities_and_their_alignment(aligned: ASRModel, aligned_trace: Trace) -> None:
    ctc = aligned_trace.ctc
    for blank, guesses in zip(ctc.blank_A, ctc.guesses, strict=True):
        values = [guess.value for guess in guesses]
        assert values == sorted(values, reverse=True)
        assert blank + sum(values) <= 1 + 1e-5
    threshold = aligned.config.decoding.blank_threshold
    assert [blank < threshold for blank in ctc.blank_A] == list(ctc.kept_A)
    said = "".join(token.text for token in ctc.alignment)
    assert said.split() == aligned_trace.text.split()
    times = [(token.start, token.end) for token in ctc.alignment]
    assert all(start < end for start, end in times)
    assert all(left[1] <= right[0] + 1e-9 for left, right in pairwise(times))
    assert times[-1][1] <= len(ctc.blank_A) * ctc.frame_duration


def test_the_prompt_holds_one_vector_for_each_kept_frame(aligned: ASRModel, aligned_trace: Trace) -> None:
    prompt, ctc = aligned_trace.prompt, aligned_trace.ctc
    kept = [index for index, is_kept in enumerate(ctc.kept_A) if is_kept]
    assert prompt.starts == pytest.approx([index * ctc.frame_duration for index in kept])
    assert len(prompt.audio) == len(kept)
    words = "".join(prompt.before), "".join(prompt.after)
    assert words == ("<|im_start|>user\nTranscribe: ", "<|im_end|>\n<|im_start|>assistant\n")


@torch.inference_mode()
def test_the_answers_probabilities_are_the_language_models_score(aligned: ASRModel, aligned_trace: Trace) -> None:
    frames = torch.tensor([75])
    projected = aligned.projector(aligned.encode(WAVEFORM), frames)
    (audio_AE,) = aligned.audio_embeddings(projected, aligned.projector.output_lengths(frames), aligned.table_VE)
    ids = encode_transcript(aligned.tokenizer, aligned_trace.text)
    (score,) = aligned.speech_llm.score(audio_AE, [ids])
    found = sum(math.log(token.probability) for token in aligned_trace.answer)
    assert found == pytest.approx(score, abs=1e-3)
    assert [token.text for token in aligned_trace.answer[:-1]] == [aligned.tokenizer.decode([i]) for i in ids]
    assert aligned_trace.answer[-1].text == "<|im_end|>"
    for token in aligned_trace.answer:
        assert token.guesses[0].value >= token.probability - 1e-6
        assert sum(guess.value for guess in token.guesses) <= 1 + 1e-5


def test_the_winner_comes_first_among_the_candidates(aligned: ASRModel, aligned_trace: Trace) -> None:
    totals = [candidate.total for candidate in aligned_trace.candidates]
    assert len(totals) > 1
    assert aligned_trace.candidates[0].text == aligned_trace.text
    assert totals == sorted(totals, reverse=True)


def test_letters_have_a_say_in_a_trace_as_in_the_recogniser() -> None:
    torch.manual_seed(0)
    model = sure(replace(TINY_CONFIG, characters=CharactersConfig(hidden_dim=16, num_blocks=1)))
    trace = trace_clip(model, WAVEFORM)
    (heard,) = Recognizer(model).transcribe_waveforms([WAVEFORM])
    assert trace.text == heard.text
    assert trace.candidates[0].text == trace.text
    totals = [candidate.total for candidate in trace.candidates]
    assert totals == sorted(totals, reverse=True)
    assert all(candidate.scores.characters < 0 for candidate in trace.candidates)
    assert "log p, letters" in trace_page(trace, CLIP, model="tiny")


def test_the_spectrogram_is_in_decibels_below_the_loudest(aligned_trace: Trace) -> None:
    assert aligned_trace.log_mel_MF.max() == 0
    assert aligned_trace.log_mel_MF.min() == pytest.approx(-80, abs=1e-3)
    power = 10 ** (aligned_trace.log_mel_MF / 10)
    again = log_mel_spectrogram(WAVEFORM).numpy() * 4 - 4
    np.testing.assert_allclose(power, 10 ** (again - again.max()), rtol=1e-3)


def test_padding_is_told_and_changes_no_axis(padded_trace: Trace, aligned_trace: Trace) -> None:
    assert aligned_trace.padding == 0
    assert padded_trace.padding == pytest.approx(28.5)
    assert padded_trace.log_mel_MF.shape == aligned_trace.log_mel_MF.shape
    assert padded_trace.encoder.values_NT.shape == aligned_trace.encoder.values_NT.shape


def test_an_unaligned_model_has_no_ctc(unaligned_trace: Trace) -> None:
    assert unaligned_trace.ctc is None
    assert not unaligned_trace.reads_mel
    assert [stage.name for stage in unaligned_trace.stages][:3] == ["Waveform", "Normalised", "Encoder"]
    assert len(unaligned_trace.prompt.audio) == unaligned_trace.projector.values_NT.shape[1] == 15
    assert unaligned_trace.text
    assert not unaligned_trace.candidates
    assert len(unaligned_trace.answer) > 1


def test_a_ctc_recogniser_has_no_language_model(ctc_trace: Trace) -> None:
    assert ctc_trace.projector is None
    assert ctc_trace.prompt is None
    assert not ctc_trace.answer
    assert ctc_trace.text == ctc_trace.draft != ""
    assert "".join(token.text for token in ctc_trace.ctc.alignment if token.text.strip()) == ctc_trace.text.replace(
        " ", ""
    )
    assert len(ctc_trace.ctc.blank_A) * ctc_trace.ctc.frame_duration <= ctc_trace.duration


def test_digital_silence_is_traced_too(aligned: ASRModel) -> None:
    trace = trace_clip(aligned, np.zeros(8_000, np.float32))
    assert np.isfinite(trace.log_mel_MF).all()
    assert all(math.isfinite(stage.std) for stage in trace.stages)
