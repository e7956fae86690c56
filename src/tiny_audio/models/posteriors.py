"""CTC posteriors of the aligned projector's output, and the audio embeddings that the language model reads.

Shapes: B batch, A audio tokens, E LLM width, V vocabulary, K candidates of a frame.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tiny_audio.models.beam_search import BeamHypothesis, FrameCandidates, PrefixScorer, prefix_beam_search
from tiny_audio.models.ctc import collapse
from tiny_audio.models.projectors.aligned import Projected

BLANK = -1
"""The blank in a frame-wise path; token ids are those of the language model."""
_FRAMES_AT_ONCE = 64
"""Whose logits over the vocabulary are in memory: 12 MB, which a processor's cache may hold."""
_TOKENS_PER_FRAME = 12
"""Likeliest tokens of a frame that the beam search and the mix for the language model look at."""


@dataclass(frozen=True, kw_only=True)
class FramePosteriors:
    """CTC posteriors of one utterance, natural log; only the likeliest tokens of a frame, best first."""

    blank_A: Tensor
    top_log_probs_AK: Tensor
    top_ids_AK: Tensor

    def greedy_ids(self) -> list[int]:
        """Token ids of the likeliest path."""
        is_blank_A = self.blank_A >= self.top_log_probs_AK[:, 0]
        return collapse(torch.where(is_blank_A, BLANK, self.top_ids_AK[:, 0]).tolist(), BLANK)

    def beam_search(self, *, num_beams: int, scorer: PrefixScorer | None = None) -> list[BeamHypothesis]:
        """The most probable token sequences, best first; a scorer has a say in which those are."""
        frames = [
            FrameCandidates(blank=blank, tokens=[(t, p) for t, p in zip(ids, log_probs, strict=True) if p > -9.0])
            for blank, ids, log_probs in zip(
                self.blank_A.tolist(), self.top_ids_AK.tolist(), self.top_log_probs_AK.tolist(), strict=True
            )
        ]
        return prefix_beam_search(frames, num_beams=num_beams, scorer=scorer)


def frame_posteriors(
    hidden_AE: Tensor, blank_A: Tensor, table_VE: Tensor, *, head: Callable[[Tensor], Tensor] | None = None
) -> FramePosteriors:
    """CTC posteriors of one utterance from the projector's output for its real frames.

    Args:
        hidden_AE: projector output.
        blank_A: logit of the blank.
        table_VE: embedding table.
        head: a faster, less exact product with the table: it finds the candidates, whose logits are then exact.
    """
    blocks = [
        _posteriors(*block, table_VE, head)
        for block in zip(hidden_AE.split(_FRAMES_AT_ONCE), blank_A.float().split(_FRAMES_AT_ONCE), strict=True)
    ]
    blank_A, top_log_probs_AK, top_ids_AK = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return FramePosteriors(blank_A=blank_A, top_log_probs_AK=top_log_probs_AK, top_ids_AK=top_ids_AK)


def _posteriors(
    hidden_AE: Tensor, blank_A: Tensor, table_VE: Tensor, head: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability of the blank, and of the likeliest tokens with their ids."""
    logits_AV = (hidden_AE @ table_VE.T).float() if head is None else head(hidden_AE)
    num_candidates = min(_TOKENS_PER_FRAME, logits_AV.shape[1])
    if head is not None:
        near_AK = logits_AV.topk(min(2 * num_candidates, logits_AV.shape[1]), dim=1).indices
        exact_AK = (table_VE[near_AK] @ hidden_AE.unsqueeze(-1)).squeeze(-1)
        logits_AV.scatter_(1, near_AK, exact_AK)
        best_AK, order_AK = exact_AK.topk(num_candidates, dim=1)
        ids_AK = near_AK.gather(1, order_AK)
    else:
        best_AK, ids_AK = logits_AV.topk(num_candidates, dim=1)
    normaliser_A1 = torch.logaddexp(logits_AV.logsumexp(dim=1), blank_A)[:, None]
    return blank_A - normaliser_A1[:, 0], best_AK - normaliser_A1, ids_AK


def kept_frames(posteriors: FramePosteriors, *, blank_threshold: float) -> Tensor:
    """Mask `(A,)` of the frames that the language model reads: those that are not surely blank, at least one."""
    kept_A = posteriors.blank_A < math.log(blank_threshold)
    if not kept_A.any():  # the language model needs something to look at
        kept_A[posteriors.blank_A.argmin()] = True
    return kept_A


def embed_frames(
    hidden_AE: Tensor, residual_AE: Tensor, posteriors: FramePosteriors, table_VE: Tensor, *, blank_threshold: float
) -> Tensor:
    """What the language model reads of one utterance: `(A', E)`, without the frames that are surely blank.

    A frame becomes the mix of its likeliest tokens' embeddings, weighted by their posteriors without the blank, plus
    the residual. Gradients reach the projector through the weights of the mix and through the residual.
    """
    kept_A = kept_frames(posteriors, blank_threshold=blank_threshold)
    candidates_AKE = table_VE[posteriors.top_ids_AK[kept_A]].to(hidden_AE.dtype)
    weights_AK = (candidates_AKE @ hidden_AE[kept_A].unsqueeze(-1)).squeeze(-1).float().softmax(dim=1)
    # The language model reads its own embeddings, without what the CTC has behind them.
    of_llm_AKE = candidates_AKE[..., : residual_AE.shape[-1]]
    mix_AE = (weights_AK.to(hidden_AE.dtype).unsqueeze(1) @ of_llm_AKE).squeeze(1)
    return mix_AE + residual_AE[kept_A]


def audio_embeddings(
    projected: Projected, lengths_B: Tensor, table_VE: Tensor, *, blank_threshold: float
) -> list[Tensor]:
    """`embed_frames` of each utterance of a batch, with gradients."""
    embeds = []
    for hidden_AE, blank_A, residual_AE, length in zip(*projected, lengths_B.tolist(), strict=True):
        hidden_AE, blank_A, residual_AE = hidden_AE[:length], blank_A[:length], residual_AE[:length]
        with torch.no_grad():
            posteriors = frame_posteriors(hidden_AE.to(table_VE.dtype), blank_A, table_VE)
        embeds.append(embed_frames(hidden_AE, residual_AE, posteriors, table_VE, blank_threshold=blank_threshold))
    return embeds
