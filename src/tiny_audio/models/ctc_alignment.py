"""Forced alignment: when each token of a known text is spoken, by the best CTC path (Viterbi) that spells the text.

Of the language model's 49,152 tokens only those of the text are looked at, so memory is A x distinct tokens, never
A x V. The posteriors of CTC are peaks: one frame, somewhere inside the token, and blanks around it. A span says where
the peak is; how words extend to both sides is decided in `inference.timestamps`.

Shapes: A audio tokens (CTC frames), E embedding width, V vocabulary, N tokens of the text, P = 2 N + 1 states: blank,
first token, blank, second token, ..., blank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiny_audio.models.ctc import is_feasible, table_logsumexp
from tiny_audio.text.prompts import Tokenizer, encode_transcript

_LOG_FLOOR = -12.0
"""A frame's log-probability of a token is at least this: a token that was not said at all must stand somewhere too,
and may not push its neighbours off their peaks for the sake of 1e-30 against 1e-20."""

_MARKS = ".,;:!?\"'()[]{}-–—…“”‘’«»¿¡"


@dataclass(frozen=True, kw_only=True)
class TokenSpan:
    """Where one token stands on the best path; frame `a` covers the time from `a` to `a + 1` frame durations."""

    token_id: int
    start_frame: int
    end_frame: int
    """One behind the last frame."""
    centre: float
    """Centre of the peak in frames, finer than one: frames in and beside the span, weighted by their posteriors."""
    log_prob: float
    """Natural log of the token's highest posterior within the span."""


def align(
    hidden_AE: Tensor,
    blank_A: Tensor,
    token_ids: Sequence[int],
    table_VE: Tensor,
    *,
    log_blank_A: Tensor | None = None,
) -> list[TokenSpan] | None:
    """Align a text to one utterance; None if it has too many tokens for so few frames (see `ctc.is_feasible`).

    Args:
        hidden_AE: projector output of the real frames; its inner product with an embedding is that token's logit.
        blank_A: logit of the blank.
        token_ids: the text.
        table_VE: frozen embedding table.
        log_blank_A: log-probability of the blank, where it is known: saves the sum over the whole vocabulary.
    """
    if not token_ids:
        return []
    distinct = sorted(set(token_ids))
    log_probs_AN = token_log_probs(hidden_AE, blank_A, distinct, table_VE, log_blank_A=log_blank_A)
    return token_spans(log_probs_AN, token_ids, distinct)


def token_log_probs(
    hidden_AE: Tensor,
    blank_A: Tensor,
    distinct: Sequence[int],
    table_VE: Tensor,
    *,
    log_blank_A: Tensor | None = None,
) -> NDArray[np.float32]:
    """Natural-log probabilities `(A, 1 + N)` of the blank and of some tokens; arguments as of `align`."""
    with torch.no_grad():
        hidden_AE = hidden_AE.to(table_VE.dtype)
        own_NE = table_VE[torch.tensor(distinct, device=table_VE.device)]
        logits_AN = torch.cat([blank_A[:, None].float(), (hidden_AE @ own_NE.T).float()], dim=1)
        if log_blank_A is None:
            normaliser_A = torch.logaddexp(table_logsumexp(hidden_AE, table_VE), blank_A.float())
        else:
            normaliser_A = blank_A.float() - log_blank_A
        return (logits_AN - normaliser_A[:, None]).cpu().numpy()  # type: ignore[no-any-return]


def token_spans(
    log_probs_AN: NDArray[np.floating], token_ids: Sequence[int], distinct: Sequence[int]
) -> list[TokenSpan] | None:
    """Spans of the tokens of a text; None if it has too many for so few frames.

    Args:
        log_probs_AN: natural log-probabilities of the blank, and of each of the `distinct` tokens.
        token_ids: the text.
        distinct: its tokens, each once.
    """
    if not is_feasible(len(log_probs_AN), token_ids):
        return None
    column_of = {token_id: 1 + index for index, token_id in enumerate(distinct)}
    columns = [column_of[token_id] for token_id in token_ids]
    runs = viterbi(np.maximum(log_probs_AN, _LOG_FLOOR), columns)
    return [
        TokenSpan(
            token_id=token_id,
            start_frame=start,
            end_frame=end,
            centre=_centre(log_probs_AN[:, column], start, end),
            log_prob=float(min(log_probs_AN[start:end, column].max(), 0.0)),
        )
        for token_id, column, (start, end) in zip(token_ids, columns, runs, strict=True)
    ]


def align_words(
    hidden_AE: Tensor,
    blank_A: Tensor,
    words: Sequence[str],
    tokenizer: Tokenizer,
    table_VE: Tensor,
    *,
    log_blank_A: Tensor | None = None,
) -> list[list[TokenSpan]]:
    """Spans of each word's tokens; none for any word if `align` finds no path.

    Marks around a word are left out: nobody says them, and the CTC puts a full stop into the pause that follows.
    """
    ids = word_token_ids(words, tokenizer)
    spans = align(hidden_AE, blank_A, [token_id for row in ids for token_id in row], table_VE, log_blank_A=log_blank_A)
    if spans is None:
        return [[] for _ in words]
    following = iter(spans)
    return [list(islice(following, len(row))) for row in ids]


def word_token_ids(words: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    """Tokens of each word without the marks around it."""
    return [encode_transcript(tokenizer, word.strip(_MARKS) or word) for word in words]


def viterbi(log_probs_AC: NDArray[np.floating], labels: Sequence[int], *, blank: int = 0) -> list[tuple[int, int]]:
    """Frames `[start, end)` of each label on the most probable path, of all those that collapse to `labels`.

    Raises:
        ValueError: no such path; there are too few frames.
    """
    num_frames = len(log_probs_AC)
    if not is_feasible(num_frames, labels):
        raise ValueError(f"{num_frames} frames for {len(labels)} labels; check `is_feasible` first")
    if not labels:
        return []
    states_P = np.full(2 * len(labels) + 1, blank)
    states_P[1::2] = labels
    # From a label one may step over the blank to the next label, unless it is the same one.
    may_skip_P = np.zeros(len(states_P), bool)
    may_skip_P[3::2] = [left != right for left, right in pairwise(labels)]
    scores_P = np.full(len(states_P), -np.inf)
    scores_P[:2] = log_probs_AC[0, states_P[:2]]
    steps_AP = np.zeros((num_frames, len(states_P)), np.int8)  # how many states back the best path came from
    for frame in range(1, num_frames):
        from_3P = np.full((3, len(states_P)), -np.inf)
        from_3P[0] = scores_P
        from_3P[1, 1:] = scores_P[:-1]
        from_3P[2, 2:] = np.where(may_skip_P[2:], scores_P[:-2], -np.inf)
        steps_AP[frame] = from_3P.argmax(axis=0)
        scores_P = from_3P.max(axis=0) + log_probs_AC[frame, states_P]
    state = len(states_P) - 1 - int(scores_P[-2] > scores_P[-1])
    path_A = np.empty(num_frames, np.intp)
    for frame in range(num_frames - 1, -1, -1):
        path_A[frame] = state
        state -= int(steps_AP[frame, state])
    positions = np.arange(1, len(states_P), 2)
    starts, ends = np.searchsorted(path_A, positions, "left"), np.searchsorted(path_A, positions, "right")
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _centre(log_probs_A: NDArray[np.floating], start: int, end: int) -> float:
    """Mean frame of a peak, half a frame later for its middle; the frame on either side counts with its posterior."""
    first, last = max(start - 1, 0), min(end + 1, len(log_probs_A))
    log_weights = log_probs_A[first:last]
    weights = np.exp(log_weights - log_weights.max())
    return float(weights @ (np.arange(first, last) + 0.5) / weights.sum())
