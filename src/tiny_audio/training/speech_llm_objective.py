"""Training a projector and a language model's adapters: CTC, the language model's loss, or both.

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, E LLM width, V vocabulary.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiny_audio.data.batch import Batch
from tiny_audio.data.stream import Step
from tiny_audio.inference.recognizer import Hypothesis, Recognizer
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_trained_state, save_checkpoint, trained_state
from tiny_audio.models.ctc import VocabularySample, ctc_loss
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.models.projectors.spelling import SpellingEncoder
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.text.prompts import encode_transcript, task_text
from tiny_audio.training.config import MaskConfig, TrainConfig
from tiny_audio.training.frame_mask import mask_frames
from tiny_audio.training.objective import Objective, StepOutput, row_generators
from tiny_audio.training.precision import compute_dtype
from tiny_audio.training.vocabulary import VocabularySampler


@dataclass(kw_only=True)
class _Shared:
    """What is made of the letters once a step: spelling costs as much for one utterance as for all."""

    step_seed: int
    table_VE: Tensor | None = None
    made_NE: Tensor | None = None
    """Rows of the sample with what they were made of; `sample` has them as a leaf, which collects gradients."""
    sample: VocabularySample | None = None


class SpeechLLMObjective(Objective):
    """CTC on an aligned projector; with a language model, its loss on the same utterances, alone or beside the CTC.

    Args:
        model: what is trained.
        mask: stretches of encoder frames that are hidden.
        ctc_weight: of the CTC beside a language model.
        dtype: of sums over the vocabulary; None: what the device computes fast.
        of_llm: trained tensors of a language model that this training does without; they are saved again as they were.
    """

    def __init__(
        self,
        model: ASRModel,
        *,
        mask: MaskConfig,
        ctc_weight: float,
        dtype: torch.dtype | None = None,
        of_llm: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.of_llm = of_llm
        self.mask = mask
        self.ctc_weight = ctc_weight if model.speech_llm is not None else 1.0
        self.sampler: VocabularySampler | None = None
        self.device = model.table_VE.device
        self.frame_rate = model.config.encoder.frame_rate
        self.has_draft = model.is_aligned and model.speech_llm is not None
        fast = model.table_VE[: model.config.projector.ctc_vocab_size].to(dtype or compute_dtype(self.device, "auto"))
        self.register_buffer("fast_table_VE", fast.detach(), persistent=False)
        self.fast_table_VE: Tensor
        self.spelling: SpellingEncoder | None = getattr(model.projector, "spelling", None)
        self._shared: _Shared | None = None

    def forward(self, batch: Batch, step: Step) -> StepOutput:
        """CTC loss a label, and the language model's a token; its tokens are the labels and the end of each row."""
        encoder_BTD, lengths_B = self.encoder_output(batch)
        encoder_BTD = mask_frames(encoder_BTD, lengths_B, self.mask, row_generators(batch, step), self.frame_rate)
        projected = self.model.projector(encoder_BTD, lengths_B)
        lengths_B = self.model.projector.output_lengths(lengths_B)
        loss = torch.zeros((), device=self.device)
        metrics: dict[str, float] = {}
        if isinstance(projected, Projected):
            ctc = self._ctc(projected, lengths_B, batch, step)
            loss = loss + self.ctc_weight * ctc
            metrics["ctc_loss"] = ctc.item()
        if self.model.speech_llm is not None:
            embeds = self.model.audio_embeddings(projected, lengths_B, self._table(step))
            answer_loss, answer_metrics = self._answer_loss(self.model.speech_llm, embeds, batch, step)
            loss = loss + answer_loss
            metrics |= answer_metrics
            metrics["audio_tokens_per_second"] = sum(len(rows) for rows in embeds) / step.duration
        if (auxiliary_loss := self.model.projector.auxiliary_loss) is not None:
            # How evenly experts are used is a property of a batch: divided differently, it differs a little.
            auxiliary_loss = auxiliary_loss * (len(batch.ids) / step.num_rows)
            loss = loss + auxiliary_loss
            metrics["auxiliary_loss"] = auxiliary_loss.item()
        return StepOutput(loss=loss, metrics={"loss": loss.item(), **metrics})

    def _answer_loss(
        self, speech_llm: SpeechLLM, embeds: Sequence[Tensor], batch: Batch, step: Step
    ) -> tuple[Tensor, dict[str, float]]:
        """Its share of what the language model learns from, and how that is logged."""
        divisor = step.num_answer_labels + step.num_rows
        loss = speech_llm.loss(embeds, batch.answers, batch.users, divisor=divisor)
        return loss, {"llm_loss": loss.item()}

    @property
    def encoder(self) -> Encoder | EncoderConfig:
        """The model's own where it is trained as a whole; else the part that is not is known by its configuration."""
        config = self.model.config.encoder
        return config if self.model.encoder is None or config.is_storable else self.model.encoder

    def labels(self, text: str) -> tuple[int, ...]:
        """Tokens of the language model, for a CTC those that it writes."""
        return tuple(encode_transcript(self.model.ctc_tokenizer, text)) if text.strip() else ()

    def answer(self, text: str) -> tuple[int, ...]:
        """Tokens of the language model."""
        return tuple(encode_transcript(self.model.tokenizer, text)) if text.strip() else ()

    @property
    def writes_labels(self) -> bool:
        """Not where the CTC knows a part of the tokens only."""
        return self.model.ctc_tokenizer is self.model.tokenizer

    def teach(self, task: str) -> str | None:
        """The task's text, where there is a language model to answer."""
        if self.model.speech_llm is None:
            return None
        user = task_text(task)
        if task not in self.model.config.tasks:
            self.model.config = replace(self.model.config, tasks=(*self.model.config.tasks, task))
        return user

    def ctc_frames(self, num_frames: int) -> int | None:
        """Audio tokens of an aligned projector."""
        return int(self.model.projector.output_lengths(torch.tensor([num_frames]))) if self.model.is_aligned else None

    def encoder_output(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Encoder frames `(B, T, D)` of a batch, and how many of each row are real."""
        encoder, block = self.model.encoder, self.model.config.encoder.stored_block
        if not batch.waveforms:
            features_BTD = batch.features_BTD.to(self.device)
            if encoder is None or block is None:
                return features_BTD, batch.lengths_B
            return encoder.resume(features_BTD, batch.lengths_B, block)
        assert encoder is not None, "a batch of waveforms needs the encoder"
        features, feature_lengths_B = encoder.features(batch.waveforms)
        return encoder(features.to(self.device), feature_lengths_B.to(self.device))

    def _ctc(self, projected: Projected, lengths_B: Tensor, batch: Batch, step: Step) -> Tensor:
        """Its share of the step's CTC loss a label; the vocabulary drawn is that of the step.

        An utterance with a question and without a text says nothing about what is said in it.
        """
        labels: Sequence[Sequence[int]] = batch.labels
        asks_text_B = [question is None or question.user == task_text("transcribe") for question in batch.asked]
        has_text_B = [bool(row) or asks_text for row, asks_text in zip(labels, asks_text_B, strict=True)]
        if not all(has_text_B):
            labels = [row for row, has_text in zip(labels, has_text_B, strict=True) if has_text]
            if not labels:
                return projected.hidden_BAE.sum() * 0.0
            chosen_B = torch.tensor(has_text_B, device=projected.hidden_BAE.device)
            projected = Projected(*(output[chosen_B] for output in projected))
            lengths_B = lengths_B[chosen_B.to(lengths_B.device)]
        sample, table_VE = None, self.model.table_VE
        if self.sampler is not None:
            sample = self._sample(step)
        else:
            table_VE = self.model.ctc_table_VE
        with torch.autocast(self.device.type, enabled=False):
            losses_B = ctc_loss(
                projected.hidden_BAE.float(),
                projected.blank_BA.float(),
                lengths_B,
                labels,
                table_VE,
                sample=sample,
            )
        return losses_B.sum() / max(step.num_labels, 1)

    def begin_step(self, step: Step) -> None:
        """Spell the tokens once."""
        self._shared = None
        if self.spelling is not None:
            shared = _Shared(step_seed=step.seed)
            if self.model.speech_llm is not None:
                shared.table_VE = self._table(step)
            if self.sampler is not None:
                sample = self._sample(step)
                shared.made_NE = sample.table_NE
                shared.sample = replace(sample, table_NE=sample.table_NE.detach().requires_grad_())
            self._shared = shared

    def end_step(self) -> None:
        """What the batches want of the spelt tokens is wanted of the letters."""
        shared, self._shared = self._shared, None
        if shared is not None and shared.sample is not None and shared.made_NE is not None:
            gradient_NE = shared.sample.table_NE.grad
            if gradient_NE is not None:
                shared.made_NE.backward(gradient_NE)  # type: ignore[no-untyped-call]

    def _sample(self, step: Step) -> VocabularySample:
        """The part of the vocabulary that this step sums over."""
        shared = self._shared
        if shared is not None and shared.step_seed == step.seed and shared.sample is not None:
            return shared.sample
        assert self.sampler is not None
        return self.sampler.draw(step.labels, torch.Generator().manual_seed(step.seed))

    def _table(self, step: Step) -> Tensor:
        """The CTC's whole table in the format of the sums, without gradients."""
        shared = self._shared
        if shared is not None and shared.step_seed == step.seed and shared.table_VE is not None:
            return shared.table_VE
        with torch.no_grad():
            return self._ctc_rows()

    def _ctc_rows(self, token_ids_N: Tensor | None = None) -> Tensor:
        """The CTC's embeddings of some tokens, or of all, in the format of the sums."""
        table_NE = self.fast_table_VE
        if token_ids_N is not None:
            token_ids_N = token_ids_N.to(self.device)
            table_NE = table_NE[token_ids_N]
        if self.spelling is None:
            return table_NE
        return torch.cat([table_NE, self.spelling(token_ids_N).to(table_NE)], dim=1)

    def transcribe(self, batch: Batch) -> list[Hypothesis]:
        """Texts and drafts of a batch, as the model in its present state would give them."""
        with torch.inference_mode():
            return Recognizer(self.model).transcribe_features(*self.encoder_output(batch))

    def trained_state(self) -> dict[str, Tensor]:
        """The trained tensors by name."""
        return trained_state(self.model)

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Copy tensors of `trained_state`, or of what `save` wrote, into the model."""
        load_trained_state({name: state[name] for name in state.keys() - (self.of_llm or {}).keys()}, self.model)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that can be transcribed with; half precision, as it is shipped."""
        save_checkpoint(folder, self.model, dtype=torch.float16, of_llm=self.of_llm)

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Projector, and what is trained or only runs on either side of it."""
        llm = self.model.decoder
        parts = (self.model.encoder, self.model.projector, llm and llm.get_decoder())
        return [part for part in parts if part is not None]

    def language_model(self) -> Any:
        """A `transformers` class."""
        return self.model.decoder

    def prepare(self, labels: Iterable[Sequence[int]], config: TrainConfig) -> None:
        """Draw each normaliser from the frequent tokens and a random few, where the configuration says so."""
        num_tokens = config.num_frequent_tokens + config.num_random_tokens
        if self.model.is_aligned and 0 < num_tokens < len(self.fast_table_VE):
            self.sampler = VocabularySampler(
                self._ctc_rows,
                len(self.fast_table_VE),
                labels,
                num_frequent=config.num_frequent_tokens,
                num_random=config.num_random_tokens,
            )

    def is_main(self, name: str) -> bool:
        """The projector learns at the main rate."""
        return name.startswith("model.projector.")
