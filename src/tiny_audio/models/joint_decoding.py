"""CTC and language model decide on the text together: each proposes, both score every candidate.

A small language model, asked to write, prefers a fluent sentence to the one that was said; but it names words that
the CTC did not think of, and what it invents has next to no probability under the CTC.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tiny_audio.models.asr_config import DecodingConfig
from tiny_audio.models.character_candidates import CharacterPosteriors
from tiny_audio.models.ctc_changes import CTCScorer
from tiny_audio.models.local_scores import LocalDrafts
from tiny_audio.models.posteriors import FramePosteriors
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.models.second_look import put_together
from tiny_audio.models.text_changes import single_changes
from tiny_audio.models.token_tree import TokenTree
from tiny_audio.models.word_boundaries import joined_words
from tiny_audio.text.prompts import Tokenizer, decode_transcript, encode_transcript

MAX_TREE_TOKENS = 400
"""Of all that the language model reads at once behind a prompt, shared beginnings once."""
_MAX_CHANGES = 48


@dataclass(frozen=True, kw_only=True)
class CandidateScores:
    """Natural-log probabilities of one candidate text."""

    llm: float
    """Of the language model that reads the sound; 0 where it was not asked."""
    ctc: float
    characters: float = 0.0
    """0 where there is no CTC over characters."""
    text: float = 0.0
    """Of the language model without the sound."""


def choose_text(
    scores: Mapping[str, CandidateScores],
    *,
    decoding: DecodingConfig,
    bonuses: Mapping[str, float] | None = None,
) -> str:
    """The candidate with the highest score by the weights of `decoding`, its own bonus added."""

    def total(text: str) -> float:
        return total_score(text, scores[text], decoding) + (bonuses.get(text, 0.0) if bonuses else 0.0)

    return max(scores, key=total)


def total_score(text: str, scores: CandidateScores, decoding: DecodingConfig) -> float:
    """A candidate's score by the weights of `decoding`."""
    read = decoding.text_weight * scores.text + decoding.llm_weight * scores.llm
    return read + heard_score(text, scores, decoding)


def heard_score(text: str, scores: CandidateScores, decoding: DecodingConfig) -> float:
    """The part of a candidate's score that the sound alone decides, without the language model."""
    heard = decoding.ctc_weight * scores.ctc + decoding.character_weight * scores.characters
    return heard + decoding.word_bonus * len(text.split())


def ctc_log_probs(
    texts: Sequence[str], one: Projected, posteriors: FramePosteriors, table_VE: Tensor, tokenizer: Tokenizer
) -> dict[str, float]:
    """The CTC's log-probability of texts, as the tokenizer divides them; without those that have too many tokens.

    The less the others differ from the first, the sooner it is done.
    """
    labels = {text: ids for text in texts if (ids := encode_transcript(tokenizer, text))}
    if not labels:
        return {}
    # Classes of all labels together: 0 is the blank, then each token that stands in any text.
    tokens = sorted({token for ids in labels.values() for token in ids})
    class_of = {token: number for number, token in enumerate(tokens, start=1)}
    logits_AN = (one.hidden_BAE[0].to(table_VE.dtype) @ table_VE[tokens].T).float()
    normaliser_A1 = (one.blank_BA[0] - posteriors.blank_A)[:, None]
    log_probs_AV = torch.cat([posteriors.blank_A[:, None], logits_AN - normaliser_A1], dim=1)
    scorer = CTCScorer(log_probs_AV, blank_id=0)
    scores = scorer.log_probs([[class_of[id] for id in ids] for ids in labels.values()])
    return {text: score for text, score in zip(labels, scores, strict=True) if math.isfinite(score)}


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


def heard_scores(candidates: Mapping[str, float], letters: CharacterPosteriors | None) -> dict[str, CandidateScores]:
    """What can be said of texts with their CTC log-probability before the language model is asked."""
    spelt = letters.log_probs(list(candidates)) if letters is not None else [0.0] * len(candidates)
    return {
        text: CandidateScores(llm=0.0, ctc=ctc, characters=characters)
        for (text, ctc), characters in zip(candidates.items(), spelt, strict=True)
    }


def text_by_sound(candidates: Mapping[str, float], letters: CharacterPosteriors, decoding: DecodingConfig) -> str:
    """The text that CTC and letters decide on without a language model; a list of words stands in for it.

    Args:
        candidates: of `text_candidates`.
        letters: of the same utterance.
        decoding: weights.
    """
    scores = heard_scores(candidates, letters)
    totals = {text: heard_score(text, scores[text], decoding) + letters.word_score(text) for text in candidates}
    (text, total), *others = totals.items()
    return put_together(text, {other: gained - total for other, gained in others})


def text_candidates(
    one: Projected,
    posteriors: FramePosteriors,
    letters: CharacterPosteriors | None,
    *,
    tokenizer: Tokenizer,
    ctc_tokenizer: Tokenizer,
    table_VE: Tensor,
    decoding: DecodingConfig,
) -> dict[str, float]:
    """The CTC's best text and others that differ from it in one place, with their CTC log-probability.

    The places are those in which the CTC's other hypotheses differ, and where there are letters those that they spell
    otherwise or where two words may be one; the likeliest by sound first. There are as many as a language model is to
    read at once, where a change costs its tokens and a few more (`models.local_scores`).
    """
    candidates = ctc_candidates(posteriors, tokenizer, num_beams=decoding.num_beams)
    text = next(iter(candidates))
    variants = []
    if letters is not None:
        variants = [*letters.variants(text, max_variants=_MAX_CHANGES), *joined_words(text, letters.words)]
    others = single_changes(text, [*candidates, *variants])
    ctc = ctc_log_probs([text, *others], one, posteriors, table_VE, ctc_tokenizer)
    scores = heard_scores({text: candidates[text]} | ctc, letters)
    ranked = sorted(
        (other for other in others if other in ctc), key=lambda other: -heard_score(other, scores[other], decoding)
    )
    token_ids = {other: encode_transcript(tokenizer, other) for other in [text, *ranked[:_MAX_CHANGES]]}
    tree = TokenTree([token_ids[text]])
    kept = [text]
    for other in ranked[:_MAX_CHANGES]:
        drafts = LocalDrafts(token_ids[text], [token_ids[other]])
        for row in [*drafts.drafts, *drafts.beginnings]:
            tree.add(row)
        if len(tree) > MAX_TREE_TOKENS:
            break
        kept.append(other)
    return {known: scores[known].ctc for known in kept}
