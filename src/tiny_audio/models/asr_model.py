"""The recogniser: frozen encoder, aligned projector, language model.

    waveforms -> encoder -> projector -> CTC hypotheses (the best is the draft)
                                      -> audio embeddings -> language model writes one more and scores all -> text

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, E LLM width, V vocabulary.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.beam_search import BeamHypothesis, FrameCandidates, prefix_beam_search
from tiny_audio.models.ctc import collapse, ctc_loss, is_feasible
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.projectors.aligned import AlignedProjector, Projected
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.text.prompts import Tokenizer, decode_transcript, encode_transcript
from tiny_audio.types import Waveform

BLANK = -1
"""The blank in a frame-wise path; token ids are those of the language model."""
_TOKENS_PER_FRAME = 12
"""Likeliest tokens of a frame that the beam search and the mix for the language model look at."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """What was understood in one waveform."""

    text: str
    draft: str
    """The CTC's own answer, before the language model."""
    no_speech: bool
    """The CTC found no token at all."""


@dataclass(frozen=True, kw_only=True)
class CandidateScores:
    """Natural-log probabilities of one candidate text."""

    llm: float
    ctc: float


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

    def beam_search(self, *, num_beams: int) -> list[BeamHypothesis]:
        """The most probable token sequences, best first."""
        frames = [
            FrameCandidates(blank=blank, tokens=[(t, p) for t, p in zip(ids, log_probs, strict=True) if p > -9.0])
            for blank, ids, log_probs in zip(
                self.blank_A.tolist(), self.top_ids_AK.tolist(), self.top_log_probs_AK.tolist(), strict=True
            )
        ]
        return prefix_beam_search(frames, num_beams=num_beams)


def frame_posteriors(hidden_AE: Tensor, blank_A: Tensor, table_VE: Tensor) -> FramePosteriors:
    """CTC posteriors of one utterance from the projector's output for its real frames."""
    logits_AV = hidden_AE @ table_VE.T
    normaliser_A1 = torch.logaddexp(logits_AV.logsumexp(dim=1), blank_A)[:, None]
    top_AK = logits_AV.topk(min(_TOKENS_PER_FRAME, logits_AV.shape[1]), dim=1)
    return FramePosteriors(
        blank_A=blank_A - normaliser_A1[:, 0],
        top_log_probs_AK=top_AK.values - normaliser_A1,
        top_ids_AK=top_AK.indices,
    )


def audio_embeddings(
    projected: Projected, lengths_B: Tensor, table_VE: Tensor, *, blank_threshold: float
) -> list[Tensor]:
    """What the language model reads: one `(A', E)` tensor an utterance, without the frames that are surely blank.

    A frame becomes the mix of its likeliest tokens' embeddings, weighted by their posteriors without the blank, plus
    the residual. Gradients reach the projector through the weights of the mix and through the residual.
    """
    embeds = []
    for hidden_AE, blank_A, residual_AE, length in zip(*projected, lengths_B.tolist(), strict=True):
        hidden_AE, blank_A, residual_AE = hidden_AE[:length], blank_A[:length], residual_AE[:length]
        with torch.no_grad():
            logits_AV = hidden_AE.to(table_VE.dtype) @ table_VE.T
            normaliser_A = torch.logaddexp(logits_AV.float().logsumexp(dim=1), blank_A.float())
            kept_A = blank_A - normaliser_A < math.log(blank_threshold)
            if not kept_A.any():  # the language model needs something to look at
                kept_A[blank_A.argmin()] = True
            top_ids_AK = logits_AV[kept_A].topk(min(_TOKENS_PER_FRAME, len(table_VE)), dim=1).indices
        candidates_AKE = table_VE[top_ids_AK].to(hidden_AE.dtype)
        weights_AK = (candidates_AKE @ hidden_AE[kept_A].unsqueeze(-1)).squeeze(-1).float().softmax(dim=1)
        mix_AE = (weights_AK.to(hidden_AE.dtype).unsqueeze(1) @ candidates_AKE).squeeze(1)
        embeds.append(mix_AE + residual_AE[kept_A])
    return embeds


def choose_text(scores: Mapping[str, CandidateScores], *, ctc_weight: float, word_bonus: float) -> str:
    """The candidate with the highest log p_LLM + ctc_weight * log p_CTC + word_bonus * words."""
    return max(
        scores, key=lambda text: scores[text].llm + ctc_weight * scores[text].ctc + word_bonus * len(text.split())
    )


class FeatureTranscriber(nn.Module):
    """What comes behind the encoder: projector and, once `correct` has trained it, a language model with adapters."""

    def __init__(
        self,
        config: ASRConfig,
        *,
        projector: AlignedProjector,
        table_VE: Tensor,
        tokenizer: Tokenizer,
        speech_llm: SpeechLLM | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.projector = projector
        self.speech_llm = speech_llm
        self.tokenizer = tokenizer
        self.register_buffer("table_VE", table_VE, persistent=False)
        self.table_VE: Tensor

    @torch.inference_mode()
    def transcribe_features(self, encoder_BTD: Tensor, lengths_B: Tensor) -> list[Hypothesis]:
        """Transcribe encoder output, of which `lengths_B` frames a row are real."""
        projected = Projected(*(output.float() for output in self.projector(encoder_BTD, lengths_B)))
        lengths_B = self.projector.output_lengths(lengths_B)
        hypotheses = []
        for row, length in enumerate(lengths_B.tolist()):
            one = Projected(*(output[row : row + 1, :length] for output in projected))
            posteriors = frame_posteriors(one.hidden_BAE[0], one.blank_BA[0], self.table_VE)
            draft = decode_transcript(self.tokenizer, posteriors.greedy_ids())
            text = draft
            if draft and self.speech_llm is not None:
                text = self._choose(posteriors, one)
            hypotheses.append(Hypothesis(text=text, draft=draft, no_speech=not draft))
        return hypotheses

    def _choose(self, posteriors: FramePosteriors, one: Projected) -> str:
        """The text that CTC and language model together find most probable."""
        decoding = self.config.decoding
        scores = self.score_candidates(posteriors, one)
        return choose_text(scores, ctc_weight=decoding.ctc_weight, word_bonus=decoding.word_bonus)

    def score_candidates(self, posteriors: FramePosteriors, one: Projected) -> dict[str, CandidateScores]:
        """What the CTC proposes and what the language model would write, each scored by both.

        The language model may name a word that the CTC did not think of, but what it invents has next to no probability
        under the CTC, and what is too long for the audio has none.
        """
        assert self.speech_llm is not None
        ctc_scores = self.candidate_texts(posteriors)
        lengths_1 = torch.tensor([one.blank_BA.shape[1]])
        (embeds_AE,) = audio_embeddings(
            one, lengths_1, self.table_VE, blank_threshold=self.config.decoding.blank_threshold
        )
        written_ids = self.speech_llm.greedy_search(embeds_AE, max_tokens=int(lengths_1))
        written = decode_transcript(self.tokenizer, written_ids)
        if written and written not in ctc_scores and is_feasible(int(lengths_1), written_ids):
            loss_1 = ctc_loss(one.hidden_BAE, one.blank_BA, lengths_1, [written_ids], self.table_VE)
            ctc_scores[written] = -loss_1.item()
        texts = list(ctc_scores)
        llm_scores = self.speech_llm.score(embeds_AE, [encode_transcript(self.tokenizer, text) for text in texts])
        return {
            text: CandidateScores(llm=llm_score, ctc=ctc_scores[text])
            for text, llm_score in zip(texts, llm_scores, strict=True)
        }

    def candidate_texts(self, posteriors: FramePosteriors) -> dict[str, float]:
        """Distinct texts among the CTC's best hypotheses with their log probability.

        One text can come in several token sequences; the language model is asked about the tokenizer's own only.
        """
        scores: dict[str, float] = {}
        for hypothesis in posteriors.beam_search(num_beams=self.config.decoding.num_beams):
            text = decode_transcript(self.tokenizer, list(hypothesis.token_ids))
            known = scores.get(text)
            score = torch.tensor([hypothesis.log_prob, -torch.inf if known is None else known]).logsumexp(0)
            scores[text] = float(score)
        return scores


class ASRModel(FeatureTranscriber):
    """A whole recogniser: from waveforms to text."""

    def __init__(
        self,
        config: ASRConfig,
        *,
        encoder: WhisperEncoder,
        projector: AlignedProjector,
        table_VE: Tensor,
        tokenizer: Tokenizer,
        speech_llm: SpeechLLM | None = None,
    ) -> None:
        super().__init__(config, projector=projector, table_VE=table_VE, tokenizer=tokenizer, speech_llm=speech_llm)
        self.encoder = encoder

    @classmethod
    def from_pretrained(cls, name: str | Path = "tiny-audio-base") -> "ASRModel":
        """Load a checkpoint: the name of a shipped model, or a folder that `tiny-audio train` made.

        Raises:
            CheckpointError: no such checkpoint, or its tensors do not fit.
            WeightsError: the frozen weights can neither be found nor fetched.
        """
        from tiny_audio.models.checkpoint import load_model

        return load_model(name)

    @torch.inference_mode()
    def transcribe_waveforms(self, waveforms: Sequence[Waveform]) -> list[Hypothesis]:
        """Transcribe waveforms of 0.1 to 30 s each; what stands beside an utterance does not change its text."""
        mel_BMF, mel_lengths_B = self.encoder.features(waveforms)
        device = self.table_VE.device
        encoder_BTD = self.encoder(mel_BMF.to(device), mel_lengths_B.to(device))
        return self.transcribe_features(encoder_BTD, self.encoder.mel_to_encoder_frames(mel_lengths_B))
