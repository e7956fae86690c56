"""Greedy decoding and scoring of drafts in few passes (speculative decoding, arXiv 2211.17192).

All drafts of an utterance are read in the same pass as its prompt, as one tree. That pass gives the score of each draft
and, as far as it goes along a draft, the language model's own greedy text. Where it leaves all drafts, what the best of
them says behind that place is the next draft. The result is the one of plain greedy decoding: a draft only decides how
many passes it takes.

Shapes: L prompt rows, N new rows, P rows in the cache, E width, V vocabulary.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from tiny_audio.models.llama_runner import KVCache, LlamaRunner, NewRows
from tiny_audio.models.token_tree import ROOT, TokenTree

_SURE_TOKENS, _UNSURE_TOKENS = 16, 5
"""How far a new draft reaches: where the old one goes on is clear, or there are several places."""
_MAX_PLACES = 4
_ROWS_AT_ONCE = 64
"""Whose logits over the vocabulary are in memory: 12 MB."""


@dataclass(frozen=True, kw_only=True)
class DraftedPrompt:
    """One utterance to decode."""

    embeds_LE: Tensor
    """The prompt with its audio."""
    drafts: Sequence[Sequence[int]] = ()
    """Token ids without the end of the turn, the best first; may be empty."""
    beginnings: Sequence[Sequence[int]] = ()
    """Token ids that a text may begin with; of these, too, the probability is asked."""
    max_tokens: int
    """That it may write; 0: it only reads, and need not know the last bit."""
    cache: KVCache | None = None
    """`Decoded.cache` of the same prompt, where it has been read before."""


@dataclass(kw_only=True)
class Decoded:
    """What the language model makes of one utterance."""

    draft_log_probs: list[float]
    """Natural-log probability of each draft, end of turn included."""
    beginning_log_probs: list[float] = field(default_factory=list)
    """Of each beginning."""
    guesses: list[int] = field(default_factory=list)
    """What it finds likeliest in each place of the first draft, and behind it."""
    token_ids: list[int] = field(default_factory=list)
    """Its greedy text."""
    log_prob: float = 0.0
    """Of the greedy text, with the end of turn where it was reached."""
    num_accepted: int = 0
    """Tokens of the greedy text that a draft had right."""
    num_passes: int = 0
    cache: KVCache | None = None
    """The prompt without its last row, for whoever has more drafts of it."""


class DraftFollower:
    """Finds where in a draft a text has come to: the places that the fewest edits lead to."""

    def __init__(self, draft: Sequence[int]) -> None:
        self._draft = list(draft)
        self._edits = list(range(len(self._draft) + 1))
        """Fewest edits between the text and the draft's first tokens, for each number of them."""

    def push(self, token: int) -> None:
        """The text has one more token."""
        previous, row = self._edits, [self._edits[0] + 1]
        for place, known in enumerate(self._draft):
            row.append(min(previous[place] + (token != known), previous[place + 1] + 1, row[place] + 1))
        self._edits = row

    def rests(self, max_tokens: int) -> list[list[int]]:
        """What the draft says behind each of these places."""
        fewest = min(self._edits)
        places = [place for place, edits in enumerate(self._edits) if edits == fewest][:_MAX_PLACES]
        reach = min(_SURE_TOKENS if len(places) == 1 else _UNSURE_TOKENS, max_tokens)
        return [rest for place in places if (rest := self._draft[place : place + reach])]


@dataclass(kw_only=True)
class _State:
    """An utterance while it is decoded."""

    prompt: DraftedPrompt
    cache: KVCache
    result: Decoded
    next_rows: NewRows
    tree: TokenTree
    """Continuations behind the last fixed row."""
    follower: "DraftFollower"
    num_fixed: int
    """New rows before the tree."""


@torch.inference_mode()
def decode(
    runner: LlamaRunner, prompts: Sequence[DraftedPrompt], *, end_id: int, end_ids: Set[int] = frozenset()
) -> list[Decoded]:
    """Score the drafts and decode greedily; the passes of all utterances are shared.

    Args:
        runner: the language model.
        prompts: the utterances.
        end_id: ends a draft.
        end_ids: further tokens that end what the language model writes.
    """
    states = [_start(runner, prompt) for prompt in prompts]
    active = states
    while active:
        hidden = runner.forward([state.next_rows for state in active])
        # The head costs a row of V products: only the rows whose next token is asked for get it.
        asked = [rows_NE[state.num_fixed - 1 :] for state, rows_NE in zip(active, hidden, strict=True)]
        wanted = [tokens for state in active for tokens in _wanted(state, end_id)]
        predictions = iter(_predict(runner, torch.cat(asked), wanted))
        for state in active:
            own = [next(predictions) for _ in range(len(state.tree) + 1)]
            _advance(runner, state, own, end_id, end_ids)
        active = [state for state in active if len(state.next_rows.embeds_NE)]
    return [state.result for state in states]


def _start(runner: LlamaRunner, prompt: DraftedPrompt) -> _State:
    tree = TokenTree([*prompt.drafts, *prompt.beginnings])
    cache = prompt.cache or runner.new_cache(len(prompt.embeds_LE) + len(tree) + 8)
    unread_NE = prompt.embeds_LE[cache.length :]
    state = _State(
        prompt=prompt,
        cache=cache,
        result=Decoded(draft_log_probs=[], cache=cache),
        next_rows=NewRows(cache=cache, embeds_NE=unread_NE, positions_N=torch.empty(0)),
        tree=tree,
        follower=DraftFollower(prompt.drafts[0] if prompt.drafts else ()),
        num_fixed=len(unread_NE),
    )
    _plan(runner, state, unread_NE)
    return state


def _plan(runner: LlamaRunner, state: _State, fixed_NE: Tensor) -> None:
    """The next pass: rows that are surely part of the sequence, then the tree behind them."""
    tree, before, num_fixed = state.tree, state.cache.length, len(fixed_NE)
    end = before + num_fixed
    size = num_fixed + len(tree)
    mask_NP = torch.ones(size, before + size, dtype=torch.bool)
    mask_NP[:num_fixed, before:] = torch.ones(num_fixed, size, dtype=torch.bool).tril()
    mask_NP[num_fixed:, end:] = tree.mask()
    state.num_fixed = num_fixed
    state.next_rows = NewRows(
        cache=state.cache,
        embeds_NE=torch.cat([fixed_NE, runner.table_VE[tree.tokens].to(fixed_NE)]) if len(tree) else fixed_NE,
        positions_N=torch.tensor([*range(before, end), *(end + depth for depth in tree.depths)]),
        mask_NP=mask_NP if size > 1 else None,
        is_exact=state.prompt.max_tokens > 0,
    )


class _Prediction(NamedTuple):
    """What may follow a row."""

    token: int
    """The likeliest."""
    log_prob: float
    others: dict[int, float]
    """Log-probabilities of further tokens that were asked for."""


def _wanted(state: _State, end_id: int) -> list[list[int]]:
    """Tokens behind the last fixed row and behind each node whose probability the drafts' scores need."""
    if state.result.num_passes or not (state.prompt.drafts or state.prompt.beginnings):
        return [[] for _ in range(len(state.tree) + 1)]
    wanted = [[end_id] for _ in range(len(state.tree) + 1)]
    for token, parent in zip(state.tree.tokens, state.tree.parents, strict=True):
        wanted[parent + 1].append(token)
    return wanted


def _predict(runner: LlamaRunner, hidden_NE: Tensor, wanted: Sequence[Sequence[int]]) -> list[_Prediction]:
    """Predictions of all rows, block by block: nobody needs the logits of all at once."""
    predictions: list[_Prediction] = []
    for first in range(0, len(hidden_NE), _ROWS_AT_ONCE):
        tokens = wanted[first : first + _ROWS_AT_ONCE]
        logits_NV = runner.head(hidden_NE[first : first + _ROWS_AT_ONCE])
        normalisers_N = logits_NV.logsumexp(dim=1)
        best = logits_NV.max(dim=1)
        width = max(len(row) for row in tokens)
        ids_NW = torch.tensor([[*row, *[0] * (width - len(row))] for row in tokens], dtype=torch.long)
        others_NW = logits_NV.gather(1, ids_NW.to(logits_NV.device)) - normalisers_N[:, None]
        columns = zip(
            best.indices.tolist(), (best.values - normalisers_N).tolist(), tokens, others_NW.tolist(), strict=True
        )
        predictions += [
            _Prediction(token, log_prob, dict(zip(row, others, strict=False)))
            for token, log_prob, row, others in columns
        ]
    return predictions


def _advance(
    runner: LlamaRunner, state: _State, predictions: Sequence[_Prediction], end_id: int, end_ids: Set[int]
) -> None:
    """Take what the pass says (first of the last fixed row, then of each node) and plan the next."""
    result, tree = state.result, state.tree
    result.num_passes += 1
    if result.num_passes == 1:

        def log_prob(token_ids: Sequence[int]) -> float:
            nodes = [ROOT, *tree.path(token_ids[:-1])]
            return sum(predictions[node + 1].others[token] for node, token in zip(nodes, token_ids, strict=True))

        result.draft_log_probs = [log_prob([*draft, end_id]) for draft in state.prompt.drafts]
        if state.prompt.drafts:
            result.guesses = [predictions[node + 1].token for node in [ROOT, *tree.path(state.prompt.drafts[0])]]
        result.beginning_log_probs = [log_prob(row) if row else 0.0 for row in state.prompt.beginnings]
    if not state.prompt.max_tokens:
        _finish(state)
        return
    first_tree_row = state.cache.length - len(tree)
    node, path = ROOT, []
    while True:
        token = predictions[node + 1].token
        result.log_prob += predictions[node + 1].log_prob
        is_end = token == end_id or token in end_ids
        if not is_end:
            result.token_ids.append(token)
            state.follower.push(token)
        if is_end or len(result.token_ids) >= state.prompt.max_tokens:
            _finish(state)
            return
        child = tree.child(node, token)
        if child is None:
            break
        result.num_accepted += 1
        path.append(first_tree_row + child)
        node = child
    state.cache.keep(first_tree_row, path)
    state.tree = TokenTree(state.follower.rests(state.prompt.max_tokens - len(result.token_ids)))
    _plan(runner, state, runner.table_VE[token : token + 1].to(state.prompt.embeds_LE))


def _finish(state: _State) -> None:
    """Nothing is left to compute; the prompt stays for whoever asks again."""
    empty_NE = state.next_rows.embeds_NE[:0]
    state.cache.keep(len(state.prompt.embeds_LE) - 1, [])
    state.next_rows = NewRows(cache=state.cache, embeds_NE=empty_NE, positions_N=torch.empty(0))
