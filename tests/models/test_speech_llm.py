"""The language model with audio in its prompt: it agrees with `transformers`, alone or in a batch."""

import pytest
import torch

from tiny_audio.errors import CheckpointError
from tiny_audio.models.lora import add_lora, lora_state_dict, merge_lora
from tiny_audio.models.speech_llm import SpeechLLM, Turn, likeliest, sampled
from tiny_audio.text.prompts import (
    AUDIO_TOKEN,
    PromptConfig,
    decode_transcript,
    encode_text,
    encode_transcript,
    question_text,
    task_text,
)
from tiny_models import LLM_FAMILIES, tiny_llm, word_tokenizer

TOKENIZER = word_tokenizer()


@pytest.fixture(scope="module", params=LLM_FAMILIES)
def speech_llm(request: pytest.FixtureRequest) -> SpeechLLM:
    return SpeechLLM(tiny_llm(TOKENIZER, request.param), TOKENIZER).eval()


@pytest.fixture(scope="module")
def llama() -> SpeechLLM:
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


@torch.inference_mode()
def plain_answer(llm: torch.nn.Module, user: str, max_tokens: int) -> list[int]:
    """What `transformers` itself writes."""
    prompt_ids = torch.tensor([encode_text(TOKENIZER, PromptConfig(), user)])
    ids = llm.generate(prompt_ids, max_new_tokens=max_tokens, do_sample=False, pad_token_id=0)[0, prompt_ids.shape[1] :]
    return [token for token in ids.tolist() if token != TOKENIZER.eos_token_id]


def train_adapters(llm: torch.nn.Module) -> None:
    """Adapters that change what is written."""
    add_lora(llm, rank=2, alpha=4.0)
    for tensor in lora_state_dict(llm).values():
        torch.nn.init.normal_(tensor, std=0.5)


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


TURNS = [
    Turn(audio(5)),
    Turn(user="one two"),
    Turn(audio(1, seed=1), task_text("describe")),
    Turn(audio(17, seed=2), question_text("Who speaks?")),
    Turn(user="What is it, then?"),
]


def test_a_batch_of_unequal_prompts_writes_what_each_alone_does(speech_llm: SpeechLLM):
    limits = [9, 12, 30, 1, 0]
    together = speech_llm.generate(TURNS, max_tokens=limits)
    assert together == [
        speech_llm.generate([turn], max_tokens=limit)[0] for turn, limit in zip(TURNS, limits, strict=True)
    ]
    assert all(len(answer) <= limit for answer, limit in zip(together, limits, strict=True))
    assert together[-1] == []
    assert len(together[0]) == 9  # it does write


def test_a_batch_sees_the_logits_of_each_alone_at_every_step(speech_llm: SpeechLLM):
    def logits_of(turns: list[Turn]) -> list[torch.Tensor]:
        steps = []

        def write_the_same(logits_BV: torch.Tensor) -> torch.Tensor:
            steps.append(logits_BV)
            return torch.full((len(logits_BV),), len(steps))  # so that all rows go on

        speech_llm.generate(turns, max_tokens=12, choose=write_the_same)
        return steps

    turns = [turn for turn in TURNS if turn.audio_AE is not None]
    alone = [torch.cat(logits_of([turn])) for turn in turns]
    together = torch.stack(logits_of(turns), dim=1)
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-4)


def test_any_end_of_the_turn_stops_its_row_alone(llama: SpeechLLM):
    free = llama.generate(TURNS[:3], max_tokens=10)
    stop = free[0][3]
    ends = llama.end_ids
    llama.end_ids = {*ends, stop}
    try:
        stopped = llama.generate(TURNS[:3], max_tokens=10)
    finally:
        llama.end_ids = ends
    assert stopped == [answer[: answer.index(stop)] if stop in answer else answer for answer in free]
    assert len(stopped[0]) < len(free[0])


def test_ends_of_the_turn_are_those_of_the_prompt_and_of_the_model(llama: SpeechLLM):
    llm = tiny_llm(TOKENIZER)
    llm.generation_config.eos_token_id = [3, 4]
    assert SpeechLLM(llm, TOKENIZER).end_ids == {TOKENIZER.eos_token_id, 3, 4}
    assert llama.end_ids == {TOKENIZER.eos_token_id}
    with pytest.raises(CheckpointError, match=r"'</s>' has tokens \[.*\], expected exactly one"):
        SpeechLLM(llm, TOKENIZER, PromptConfig(end_of_turn="</s>"))


def test_a_tokenizer_of_another_model_is_refused():
    other = word_tokenizer()
    other.add_tokens(["six"])
    with pytest.raises(
        CheckpointError, match=f"tokenizer has {len(TOKENIZER) + 1} tokens, the language model {len(TOKENIZER)}"
    ):
        SpeechLLM(tiny_llm(TOKENIZER), other)


def test_a_question_without_audio_is_answered_as_the_plain_language_model_does(speech_llm: SpeechLLM):
    users = ["one two", "What is it, then?", ""]
    answers = speech_llm.generate([Turn(user=user) for user in users], max_tokens=15)
    assert answers == [plain_answer(speech_llm.llm, user, 15) for user in users]


@pytest.mark.parametrize("merged", [False, True])
def test_trained_adapters_change_what_is_heard_and_never_what_is_answered_in_writing(merged: bool):
    llm = tiny_llm(TOKENIZER)
    before = SpeechLLM(llm, TOKENIZER).generate(TURNS, max_tokens=15)
    expected = plain_answer(llm, "What is it, then?", 15)
    train_adapters(llm)
    if merged:
        merge_lora(llm)
    after = SpeechLLM(llm.eval(), TOKENIZER).generate(TURNS, max_tokens=15)
    for turn, old, new in zip(TURNS, before, after, strict=True):
        assert (old == new) == (turn.audio_AE is None)
    assert after[-1] == expected
    assert plain_answer(llm, "What is it, then?", 15) != expected  # the adapters are on again


def test_a_stream_is_the_answer_in_whole_characters(llama: SpeechLLM):
    euro = TOKENIZER.encode("a€ ö one", add_special_tokens=False)

    def write_the_euro(logits_BV: torch.Tensor) -> torch.Tensor:
        return torch.tensor([next(tokens)])

    tokens = iter([*euro, llama.end_id])
    pieces = list(llama.stream(Turn(audio(3)), choose=write_the_euro))
    assert pieces == ["a", "€", " ", "ö", " one"]
    tokens = iter(euro)
    assert "".join(llama.stream(Turn(audio(3)), max_tokens=3, choose=write_the_euro)) == TOKENIZER.decode(euro[:3])
    assert list(llama.stream(Turn(audio(3)), max_tokens=0)) == []
    answer = llama.generate([Turn(user="one")], max_tokens=20)[0]
    assert "".join(llama.stream(Turn(user="one"), max_tokens=20)) == TOKENIZER.decode(answer)


def test_a_stream_leaves_the_adapters_as_they_are_between_its_pieces():
    llm = tiny_llm(TOKENIZER)
    train_adapters(llm)
    speech_llm = SpeechLLM(llm.eval(), TOKENIZER)
    expected = speech_llm.greedy_search(audio(4), max_tokens=8)
    pieces = speech_llm.stream(Turn(user="one two"), max_tokens=8)
    next(pieces)
    assert speech_llm.greedy_search(audio(4), max_tokens=8) == expected


def test_sampling_repeats_with_its_seed_and_grows_greedy_when_cold(llama: SpeechLLM):
    def sample(temperature: float, seed: int = 1) -> list[list[int]]:
        choose = sampled(temperature=temperature, generator=torch.Generator().manual_seed(seed))
        return llama.generate(TURNS, max_tokens=12, choose=choose)

    assert sample(2.0) == sample(2.0) != sample(2.0, seed=2)
    assert sample(1e-4) == llama.generate(TURNS, max_tokens=12, choose=likeliest)


@pytest.mark.parametrize("training", ["frozen", "lora", "full"])
def test_gradients_reach_the_audio_and_exactly_what_is_trained(training: str):
    llm = tiny_llm(TOKENIZER)
    llm.requires_grad_(training == "full")
    if training == "lora":
        train_adapters(llm)
    embeds = [audio(3).requires_grad_(), audio(6, seed=1).requires_grad_()]
    answers = [encode_transcript(TOKENIZER, text) for text in ("one two", "three")]
    SpeechLLM(llm, TOKENIZER).loss(embeds, answers, [task_text("emotion"), task_text("transcribe")]).backward()
    assert all(embeds_AE.grad is not None and bool((embeds_AE.grad.abs().sum(dim=1) > 0).all()) for embeds_AE in embeds)
    changed = {name for name, parameter in llm.named_parameters() if parameter.grad is not None}
    assert changed == {name for name, parameter in llm.named_parameters() if parameter.requires_grad}
    assert bool(changed) == (training != "frozen")
    assert training != "lora" or changed == lora_state_dict(llm).keys()


def test_the_placeholder_is_in_no_vocabulary_and_the_prompt_ends_before_the_answer(llama: SpeechLLM):
    before, after = PromptConfig().template.replace("{user}", task_text("transcribe")).split(AUDIO_TOKEN)
    ids = llama.prompt_ids(3)
    assert llama.audio_token_id not in TOKENIZER.get_vocab().values()
    start = ids.index(llama.audio_token_id)
    assert ids[start : start + 3] == [llama.audio_token_id] * 3
    assert TOKENIZER.decode(ids[:start]) == before
    assert TOKENIZER.decode(ids[start + 3 :]) == after


@pytest.mark.parametrize("text", ["one two", "  one\n two ", "Hello, world!", ""])
def test_transcripts_survive_tokens_with_their_white_space_tidied(text: str):
    ids = encode_transcript(TOKENIZER, text) if text else []
    assert decode_transcript(TOKENIZER, ids) == " ".join(text.split())
