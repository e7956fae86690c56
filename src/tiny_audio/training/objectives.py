"""What a step of training makes smaller: the CTC loss (`align`), or the language model's loss beside it (`correct`).

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, E LLM width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tiny_audio.data.stream import Batch
from tiny_audio.models.asr_model import FeatureTranscriber, Hypothesis, audio_embeddings
from tiny_audio.models.ctc import ctc_loss
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.precision import has_fast_bfloat16
from tiny_audio.training.config import MaskConfig
from tiny_audio.training.vocabulary import VocabularySampler


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """The loss to go down and what to log."""

    loss: Tensor
    metrics: dict[str, float]


class Objective(nn.Module):
    """CTC on the projector; with a language model, its loss on the same utterances too."""

    def __init__(self, model: FeatureTranscriber, *, mask: MaskConfig, ctc_weight: float) -> None:
        super().__init__()
        self.model = model
        self.mask = mask
        self.ctc_weight = ctc_weight if model.speech_llm is not None else 1.0
        self.sampler: VocabularySampler | None = None
        table_VE = model.table_VE
        fast = table_VE.bfloat16() if has_fast_bfloat16(table_VE.device) else table_VE
        self.register_buffer("fast_table_VE", fast, persistent=False)
        self.fast_table_VE: Tensor

    def forward(self, batch: Batch, generator: torch.Generator) -> StepOutput:
        """Loss of one batch; the generator draws the masks."""
        device = self.fast_table_VE.device
        features_BTD = mask_frames(batch.features_BTD, batch.lengths_B, self.mask, generator).to(device)
        projected = self.model.projector(features_BTD, batch.lengths_B)
        lengths_B = self.model.projector.output_lengths(batch.lengths_B)
        with torch.autocast(device.type, enabled=False):
            losses_B = ctc_loss(
                projected.hidden_BAE.float(),
                projected.blank_BA.float(),
                lengths_B,
                batch.labels,
                self.model.table_VE,
                sample=self.sampler.draw(batch.labels, generator) if self.sampler else None,
            )
        num_labels = sum(len(labels) for labels in batch.labels)
        ctc = losses_B.sum() / num_labels
        if self.model.speech_llm is None:
            return StepOutput(loss=ctc, metrics={"loss": ctc.item()})
        threshold = self.model.config.decoding.blank_threshold
        embeds = audio_embeddings(projected, lengths_B, self.fast_table_VE, blank_threshold=threshold)
        llm = self.model.speech_llm.loss(embeds, batch.labels)
        loss = self.ctc_weight * ctc + llm
        metrics = {
            "loss": loss.item(),
            "ctc_loss": ctc.item(),
            "llm_loss": llm.item(),
            "audio_tokens_per_second": sum(len(rows) for rows in embeds) / batch.duration,
        }
        return StepOutput(loss=loss, metrics=metrics)

    def transcribe(self, batch: Batch) -> list[Hypothesis]:
        """Texts and drafts of a batch, as the model in its present state would give them."""
        return self.model.transcribe_features(batch.features_BTD.to(self.fast_table_VE.device), batch.lengths_B)


def mask_frames(features_BTD: Tensor, lengths_B: Tensor, config: MaskConfig, generator: torch.Generator) -> Tensor:
    """A copy of the features with random stretches of frames set to zero (SpecAugment, arXiv 1904.08779)."""
    if not config.spans_per_second:
        return features_BTD
    masked_BTD = features_BTD.clone()
    for row_TD, length in zip(masked_BTD, lengths_B.tolist(), strict=True):
        expected = config.spans_per_second * length / WhisperEncoder.frame_rate
        num_spans = int(expected + torch.rand((), generator=generator).item())
        for _ in range(num_spans):
            width = int(torch.randint(1, config.max_span_frames + 1, (), generator=generator))
            start = int(torch.randint(0, max(length - width, 1), (), generator=generator))
            row_TD[start : start + width] = 0.0
    return masked_BTD
