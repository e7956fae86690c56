"""CTC and language model decide on the text together: each proposes, both score every candidate.

A small language model, asked to write, prefers a fluent sentence to the one that was said; but it names words that
the CTC did not think of, and what it invents has next to no probability under the CTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tiny_audio.models.posteriors import FramePosteriors
from tiny_audio.text.prompts import Tokenizer, decode_transcript


@dataclass(frozen=True, kw_only=True)
class CandidateScores:
    """Natural-log probabilities of one candidate text."""

    llm: float
    ctc: float


def choose_text(
    scores: Mapping[str, CandidateScores],
    *,
    ctc_weight: float,
    word_bonus: float,
    bonuses: Mapping[str, float] | None = None,
) -> str:
    """The candidate with the highest log p_LLM + ctc_weight * log p_CTC + word_bonus * words + its own bonus."""

    def total(text: str) -> float:
        own = bonuses.get(text, 0.0) if bonuses else 0.0
        return scores[text].llm + ctc_weight * scores[text].ctc + word_bonus * len(text.split()) + own

    return max(scores, key=total)


def ctc_candidates(posteriors: FramePosteriors, tokenizer: Tokenizer, *, num_beams: int) -> dict[str, float]:
    """Distinct texts among the CTC's best hypotheses with their log probability, the best first.

    One text can come in several token sequences; the language model is asked about the tokenizer's own only.
    """
    scores: dict[str, float] = {}
    for hypothesis in posteriors.beam_search(num_beams=num_beams):
        text = decode_transcript(tokenizer, list(hypothesis.token_ids))
        known = scores.get(text)
        score = torch.tensor([hypothesis.log_prob, -torch.inf if known is None else known]).logsumexp(0)
        scores[text] = float(score)
    return scores
