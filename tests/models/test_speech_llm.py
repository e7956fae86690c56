"""The language model with audio in its prompt: loss, scores and search agree with `transformers`."""

import pytest
import torch

from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.text.prompts import (
    AUDIO_TOKEN,
    END_OF_TURN,
    PROMPT,
    decode_transcript,
    encode_prompt,
    encode_transcript,
)
from tiny_models import tiny_llm, word_tokenizer

TOKENIZER = word_tokenizer()


@pytest.fixture(scope="module")
def speech_llm() -> SpeechLLM:
    return SpeechLLM(tiny_llm(TOKENIZER), TOKENIZER).eval()


def audio(num_tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_tokens, 16, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def reference_score(speech_llm: SpeechLLM, embeds_AE: torch.Tensor, answer: list[int]) -> float:
    """The same by one plain forward pass over everything."""
    ids = torch.tensor([[*speech_llm.prompt_ids(len(embeds_AE)), *answer, speech_llm.end_id]])
    logits = speech_llm.llm(inputs_embeds=speech_llm.embed(ids, [embeds_AE])).logits[0].log_softmax(-1)
    start = ids.shape[1] - len(answer) - 1
    return sum(float(logits[position - 1, ids[0, position]]) for position in range(start, ids.shape[1]))


def test_scores_of_hypotheses_together_equal_each_one_alone(speech_llm: SpeechLLM):
    embeds_AE = audio(5)
    answers = [encode_transcript(TOKENIZER, text) for text in ("one two", "three", "four five one one", "")]
    with torch.inference_mode():
        scores = speech_llm.score(embeds_AE, answers)
    expected = [reference_score(speech_llm, embeds_AE, answer) for answer in answers]
    assert scores == pytest.approx(expected, abs=1e-3)


def test_the_loss_of_a_batch_is_the_mean_over_its_answers_tokens(speech_llm: SpeechLLM):
    embeds = [audio(5), audio(2, seed=1), audio(9, seed=2)]
    answers = [encode_transcript(TOKENIZER, text) for text in ("one two", "three", "five five five four")]
    total = sum(reference_score(speech_llm, one, answer) for one, answer in zip(embeds, answers, strict=True))
    num_tokens = sum(len(answer) + 1 for answer in answers)
    with torch.inference_mode():
        assert speech_llm.loss(embeds, answers).item() == pytest.approx(-total / num_tokens, abs=1e-4)


def test_greedy_search_equals_generate_of_transformers(speech_llm: SpeechLLM):
    embeds_AE = audio(6, seed=3)
    ids = torch.tensor([speech_llm.prompt_ids(6)])
    with torch.inference_mode():
        ours = speech_llm.greedy_search(embeds_AE, max_tokens=12)
        generated = speech_llm.llm.generate(
            inputs_embeds=speech_llm.embed(ids, [embeds_AE]),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=speech_llm.end_id,
            pad_token_id=speech_llm.end_id,
        )[0].tolist()
    assert ours == (generated[: generated.index(speech_llm.end_id)] if speech_llm.end_id in generated else generated)
    assert len(ours) <= 12


def test_the_placeholder_is_in_no_vocabulary_and_the_prompt_ends_before_the_answer(speech_llm: SpeechLLM):
    before, after = encode_prompt(TOKENIZER)
    assert TOKENIZER.decode(before) + AUDIO_TOKEN + TOKENIZER.decode(after) == PROMPT
    assert speech_llm.audio_token_id not in TOKENIZER.get_vocab().values()
    assert speech_llm.prompt_ids(3) == [*before, *[speech_llm.audio_token_id] * 3, *after]
    assert TOKENIZER.decode([speech_llm.end_id]) == END_OF_TURN


@pytest.mark.parametrize("text", ["one two", "  one\n two ", "Hello, world!", ""])
def test_transcripts_survive_tokens_with_their_white_space_tidied(text: str):
    ids = encode_transcript(TOKENIZER, text) if text else []
    assert decode_transcript(TOKENIZER, ids) == " ".join(text.split())
