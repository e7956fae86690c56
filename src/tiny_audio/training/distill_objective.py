"""Training a projector with the language model as its own teacher (after Ultravox, whose default loss this is).

    teacher   prompt + embeddings of the transcript's tokens + answer so far -> what comes next
    student   prompt + projected audio                       + answer so far -> what comes next

The loss is the divergence of the student from the teacher at every token of the answer and at the end of the turn. So
the projector learns to say to the language model what the text would have said, and all that the model finds almost as
good as the transcript teaches too, not only the one token that was written (Hinton et al., arXiv 1503.02531). The
teacher is the plain language model, adapters off; its inputs stand exactly where the audio stands, so a projector that
writes the embeddings of the transcript has a loss of zero.

Shapes: A audio tokens, E LLM width, N tokens to predict, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.data.stream import Batch, Step
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.lora import adapters_disabled
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.training.config import DistillConfig, MaskConfig
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective


class DistillObjective(SpeechLLMObjective):
    """A projector that is not aligned, and adapters, learn what the language model makes of the transcript."""

    def __init__(
        self, model: ASRModel, *, mask: MaskConfig, config: DistillConfig, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(model, mask=mask, ctc_weight=0.0, dtype=dtype)
        self.config = config

    def teach(self, task: str) -> str | None:
        """None: the teacher reads the transcript, and knows nothing else about the sound."""
        return None

    def _answer_loss(
        self, speech_llm: SpeechLLM, embeds: Sequence[Tensor], batch: Batch, step: Step
    ) -> tuple[Tensor, dict[str, float]]:
        num_tokens = step.num_labels + step.num_rows
        student_NV, labels_N = speech_llm.answer_logits(embeds, batch.labels)
        with torch.no_grad(), adapters_disabled(speech_llm.llm):
            spoken = [self.model.table_VE[torch.tensor(row, device=self.device).long()] for row in batch.labels]
            teacher_NV, _ = speech_llm.answer_logits([text_AE.to(embeds[0]) for text_AE in spoken], batch.labels)
        divergence = distillation_loss(student_NV, teacher_NV, self.config.temperature) / num_tokens
        weight = self.config.cross_entropy_weight
        with torch.set_grad_enabled(weight > 0):
            cross_entropy = F.cross_entropy(student_NV, labels_N, reduction="sum") / num_tokens
        loss = (1 - weight) * divergence + weight * cross_entropy
        return loss, {"kl_loss": divergence.item(), "llm_loss": cross_entropy.item()}


def distillation_loss(student_NV: Tensor, teacher_NV: Tensor, temperature: float) -> Tensor:
    """Sum over tokens of KL(teacher || student), both at `temperature`.

    Times its square, so that the size of the gradient does not depend on the temperature.
    """
    student_NV = (student_NV / temperature).log_softmax(dim=-1)
    teacher_NV = (teacher_NV / temperature).log_softmax(dim=-1)
    return temperature**2 * F.kl_div(student_NV, teacher_NV, reduction="sum", log_target=True)
