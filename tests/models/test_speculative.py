"""Draft-verified decoding equals plain greedy decoding, whatever the drafts; scores equal those of `transformers`.

A change read alone is worth what the text says as far as it was read, and all of it where little follows.
"""

import random
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tiny_audio.models import local_scores
from tiny_audio.models.int8 import Int8Linear, is_supported
from tiny_audio.models.llama_runner import LlamaRunner, NewRows
from tiny_audio.models.local_scores import LocalDrafts
from tiny_audio.models.lora import add_lora
from tiny_audio.models.speculative import Decoded, DraftedPrompt, decode
from tiny_audio.models.token_tree import TokenTree

END = 5
VOCABULARY = 40
needs_int8 = pytest.mark.skipif(not is_supported(), reason="no 8-bit products on this CPU")
DTYPES = [torch.float32, pytest.param(torch.int8, marks=needs_int8)]


@pytest.fixture(scope="module")
def llm() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    llm = LlamaForCausalLM(config).eval().requires_grad_(False)
    for parameter in llm.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    add_lora(llm, rank=2, alpha=4.0)
    for name, parameter in llm.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.normal_(parameter, std=0.2)
    return llm


def prompt_of(length: int, seed: int) -> torch.Tensor:
    return torch.randn(length, 48, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def reference_greedy(llm: LlamaForCausalLM, embeds_LE: torch.Tensor, max_tokens: int) -> list[int]:
    embeds_1LE, tokens = embeds_LE[None], []
    while len(tokens) < max_tokens:
        token = int(llm(inputs_embeds=embeds_1LE).logits[0, -1].argmax())
        if token == END:
            break
        tokens.append(token)
        embeds_1LE = torch.cat([embeds_1LE, llm.get_input_embeddings()(torch.tensor([[token]]))], dim=1)
    return tokens


@torch.inference_mode()
def reference_score(llm: LlamaForCausalLM, embeds_LE: torch.Tensor, tokens: list[int]) -> float:
    rest = llm.get_input_embeddings()(torch.tensor([tokens], dtype=torch.long))
    logits = llm(inputs_embeds=torch.cat([embeds_LE[None], rest], dim=1)).logits[0, len(embeds_LE) - 1 :]
    return float(logits.log_softmax(1).gather(1, torch.tensor([*tokens, END])[:, None]).sum())


def damaged(tokens: list[int], rng: random.Random) -> list[int]:
    """A draft that is nearly right: tokens replaced, left out and put in."""
    draft = []
    for token in tokens:
        kind = rng.random()
        if kind < 0.1:
            continue
        draft.append(rng.randrange(VOCABULARY) if kind < 0.25 else token)
        if kind > 0.9:
            draft.append(rng.randrange(VOCABULARY))
    return [token for token in draft if token != END]


def test_hidden_states_equal_those_of_transformers(llm: LlamaForCausalLM):
    runner = LlamaRunner.from_llm(llm, dtype=torch.float32)
    assert LlamaRunner.supports(llm.config.to_dict())
    embeds_LE = prompt_of(23, 1)
    cache = runner.new_cache(4)  # grows
    first = runner.forward([NewRows(cache=cache, embeds_NE=embeds_LE[:20], positions_N=torch.arange(20))])[0]
    second = runner.forward([NewRows(cache=cache, embeds_NE=embeds_LE[20:], positions_N=torch.arange(20, 23))])[0]
    with torch.inference_mode():
        expected = llm(inputs_embeds=embeds_LE[None], output_hidden_states=True).hidden_states[-1][0]
    torch.testing.assert_close(torch.cat([first, second]), expected, atol=1e-4, rtol=1e-4)


def test_greedy_text_and_draft_scores_equal_those_of_transformers(llm: LlamaForCausalLM):
    runner = LlamaRunner.from_llm(llm, dtype=torch.float32)
    for seed in range(12):
        rng = random.Random(seed)
        embeds_LE = prompt_of(rng.randrange(3, 30), seed)
        expected = reference_greedy(llm, embeds_LE, 25)
        drafts = [damaged(expected, rng) for _ in range(4)]
        (result,) = decode(runner, [DraftedPrompt(embeds_LE=embeds_LE, drafts=drafts, max_tokens=25)], end_id=END)
        assert result.token_ids == expected
        scores = [reference_score(llm, embeds_LE, draft) for draft in drafts]
        assert result.draft_log_probs == pytest.approx(scores, abs=1e-3)
        if len(expected) < 25:
            assert result.log_prob == pytest.approx(reference_score(llm, embeds_LE, expected), abs=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_drafts_and_company_change_the_number_of_passes_and_nothing_else(llm: LlamaForCausalLM, dtype: torch.dtype):
    runner = LlamaRunner.from_llm(llm, dtype=dtype)
    tolerance = 1e-3
    prompts: list[DraftedPrompt] = []
    plain: list[Decoded] = []
    for seed in range(30):
        rng = random.Random(seed)
        embeds_LE = prompt_of(rng.randrange(1, 40), seed)
        (alone,) = decode(runner, [DraftedPrompt(embeds_LE=embeds_LE, max_tokens=30)], end_id=END)
        plain.append(alone)
        drafts = [damaged(alone.token_ids, rng) for _ in range(rng.randrange(1, 5))]
        prompts.append(DraftedPrompt(embeds_LE=embeds_LE, drafts=drafts, max_tokens=30))
    single = [decode(runner, [prompt], end_id=END)[0] for prompt in prompts]
    together = decode(runner, prompts, end_id=END)
    for alone, drafted, in_batch in zip(plain, single, together, strict=True):
        assert drafted.token_ids == alone.token_ids == in_batch.token_ids
        assert drafted.log_prob == pytest.approx(alone.log_prob, abs=tolerance)
        assert in_batch.draft_log_probs == pytest.approx(drafted.draft_log_probs, abs=tolerance)
        assert alone.num_passes == max(min(len(alone.token_ids) + 1, 30), 1)
    assert sum(result.num_passes for result in single) < 0.75 * sum(result.num_passes for result in plain)


def test_the_right_draft_takes_one_pass(llm: LlamaForCausalLM):
    runner = LlamaRunner.from_llm(llm, dtype=torch.float32)
    for seed in range(20):
        embeds_LE = prompt_of(9, seed)
        expected = reference_greedy(llm, embeds_LE, 12)
        prompt = DraftedPrompt(embeds_LE=embeds_LE, drafts=[[1, 2], expected], max_tokens=12)
        (result,) = decode(runner, [prompt], end_id=END)
        assert (result.token_ids, result.num_passes) == (expected, 1)
        assert result.num_accepted >= len(expected) - 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_prompt_that_was_read_before_gives_the_same_scores(llm: LlamaForCausalLM, dtype: torch.dtype):
    runner = LlamaRunner.from_llm(llm, dtype=dtype)
    for seed in range(8):
        rng = random.Random(seed)
        embeds_LE = prompt_of(rng.randrange(1, 20), seed)
        (first,) = decode(runner, [DraftedPrompt(embeds_LE=embeds_LE, drafts=[[1, 2]], max_tokens=8)], end_id=END)
        for drafts in ([[3, 4, 6], [3, 4]], [first.token_ids]):
            fresh = DraftedPrompt(embeds_LE=embeds_LE, drafts=drafts, beginnings=[[3, 4], []], max_tokens=6)
            known = replace(fresh, cache=first.cache)
            (expected,), (found,) = decode(runner, [fresh], end_id=END), decode(runner, [known], end_id=END)
            assert found.token_ids == expected.token_ids
            assert found.draft_log_probs == pytest.approx(expected.draft_log_probs, abs=1e-4)
            assert found.beginning_log_probs == pytest.approx(expected.beginning_log_probs, abs=1e-4)
            assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-4)


def test_a_beginning_is_scored_without_an_end(llm: LlamaForCausalLM):
    runner = LlamaRunner.from_llm(llm, dtype=torch.float32)
    prompt = DraftedPrompt(embeds_LE=prompt_of(9, 3), drafts=[[1, 2]], beginnings=[[1], [1, 2], []], max_tokens=4)
    (result,) = decode(runner, [prompt], end_id=END)
    one, two, none = result.beginning_log_probs
    assert none == 0.0 > one > two > result.draft_log_probs[0]
    assert result.draft_log_probs[0] == pytest.approx(reference_score(llm, prompt.embeds_LE, [1, 2]), abs=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_who_only_reads_gives_the_same_scores_and_says_what_it_expected(llm: LlamaForCausalLM, dtype: torch.dtype):
    runner = LlamaRunner.from_llm(llm, dtype=dtype)
    tolerance = {torch.float32: 1e-4}.get(dtype, 0.5)  # a last bit is a step of 8 bits
    for seed in range(8):
        rng = random.Random(seed)
        draft = a_text(rng, rng.randrange(1, 9))
        prompt = DraftedPrompt(embeds_LE=prompt_of(rng.randrange(1, 20), seed), drafts=[draft], max_tokens=20)
        (wrote,) = decode(runner, [prompt], end_id=END)
        (read,) = decode(runner, [replace(prompt, max_tokens=0)], end_id=END)
        assert read.draft_log_probs == pytest.approx(wrote.draft_log_probs, abs=tolerance)
        assert (read.token_ids, read.num_passes) == ([], 1)
        assert len(read.guesses) == len(draft) + 1
        # What it would write begins with its guesses as far as these are the draft, and with the first that is not.
        same = next((place for place, token in enumerate(draft) if read.guesses[place] != token), len(draft))
        assert [*wrote.token_ids, END][: same + 1] == read.guesses[: same + 1]
        (again,) = decode(runner, [replace(prompt, max_tokens=0, cache=read.cache)], end_id=END)
        assert again.draft_log_probs == pytest.approx(read.draft_log_probs, abs=tolerance)


def a_text(rng: random.Random, size: int) -> list[int]:
    return [rng.choice([token for token in range(VOCABULARY) if token != END]) for _ in range(size)]


def changed(text: list[int], rng: random.Random) -> list[int]:
    place = rng.randrange(len(text))
    return [*text[:place], *a_text(rng, rng.randrange(3)), *text[place + rng.randrange(1, 3) :]]


def read_locally(
    llm: LlamaForCausalLM, embeds_LE: torch.Tensor, text: list[int], others: list[list[int]]
) -> list[float]:
    runner = LlamaRunner.from_llm(llm, dtype=torch.float32)
    local = LocalDrafts(text, others)
    prompt = DraftedPrompt(embeds_LE=embeds_LE, drafts=local.drafts, beginnings=local.beginnings, max_tokens=3)
    (result,) = decode(runner, [prompt], end_id=END)
    return local.log_probs(result)


def test_with_enough_of_what_follows_they_are_exact(llm: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_scores, "_FOLLOWING", 100)
    for seed in range(8):
        rng = random.Random(seed)
        embeds_LE, text = prompt_of(5, seed), a_text(rng, 14)
        others = [changed(text, rng) for _ in range(5)]
        exact = [reference_score(llm, embeds_LE, row) for row in [text, *others]]
        assert read_locally(llm, embeds_LE, text, others) == pytest.approx(exact, abs=1e-3)


def test_each_is_the_text_up_to_a_little_behind_the_change(llm: LlamaForCausalLM):
    rng = random.Random(0)
    embeds_LE, text = prompt_of(5, 0), a_text(rng, 30)
    other = [*text[:4], END + 1, END + 2, *text[5:]]
    assert text[4] != END + 2
    found = read_locally(llm, embeds_LE, text, [other])
    end = 4 + 1 + local_scores._FOLLOWING

    def up_to(row: list[int], size: int) -> float:
        with torch.inference_mode():
            rest = llm.get_input_embeddings()(torch.tensor([row[:size]]))
            logits = llm(inputs_embeds=torch.cat([embeds_LE[None], rest], dim=1)).logits[0, len(embeds_LE) - 1 : -1]
        return float(logits.log_softmax(1).gather(1, torch.tensor(row[:size])[:, None]).sum())

    assert found[0] == pytest.approx(reference_score(llm, embeds_LE, text), abs=1e-3)
    assert found[1] - found[0] == pytest.approx(up_to(other, end + 1) - up_to(text, end), abs=1e-3)


def test_what_a_change_adds_to_the_pass_is_the_change_and_a_little_more():
    text = list(range(100, 160))
    others = [[*text[:place], 7, 8, *text[place + 1 :]] for place in range(0, 40, 4)]
    local = LocalDrafts(text, others)
    tree = TokenTree([*local.drafts, *local.beginnings])
    assert len(tree) == len(text) + len(others) * (2 + local_scores._FOLLOWING)


def test_a_tree_shares_beginnings_and_sees_only_what_leads_to_a_node():
    tree = TokenTree([[7, 8, 9], [7, 8], [7, 3], []])
    assert (tree.tokens, tree.parents, tree.depths) == ([7, 8, 9, 3], [-1, 0, 1, 0], [0, 1, 2, 1])
    assert tree.mask().int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert tree.path([7, 3]) == [0, 3]
    assert tree.child(0, 4) is None


@needs_int8
def test_an_8_bit_layer_is_close_and_a_row_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 64)
    rows = torch.randn(50, 96) * torch.logspace(-3, 3, 50)[:, None]
    int8 = Int8Linear(linear.weight, linear.bias)
    exact, found = linear(rows), int8(rows)
    assert ((found - exact).norm(dim=1) / exact.norm(dim=1)).max() < 0.03
    assert torch.equal(found, torch.cat([int8(row[None]) for row in rows]))
    assert int8(torch.zeros(2, 3, 96)).shape == (2, 3, 64)
