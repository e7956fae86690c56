"""What a model in training does with some utterances: the numbers behind the verdicts of `findings`.

Nothing is masked, dropped or drawn here, and every utterance is a batch of its own, so that the same model gives the
same numbers.

Shapes: A audio tokens or CTC frames, E LLM width, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.data.batch import Batch, TrainingExample, collate
from tiny_audio.data.stream import Step
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.models.ctc import frames_needed
from tiny_audio.models.posteriors import frame_posteriors
from tiny_audio.models.precision import autocast
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.models.projectors.projector import root_mean_square
from tiny_audio.text.ctc_units import BLANK_ID
from tiny_audio.training.ctc_objective import CTCObjective
from tiny_audio.training.objective import Objective
from tiny_audio.training.parts import gradient_norms
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective

BLANK = "·"
"""A blank frame in a read-out."""
_TRANSCRIBED_TOGETHER = 8
_ROWS_OF_GRADIENT = 8


@dataclass(frozen=True, kw_only=True)
class Readout:
    """What stands behind the projector, or the head, for one utterance."""

    tokens: list[str]
    """The nearest one of each audio token or CTC frame."""
    embeds_AE: Tensor | None = None
    """What a language model reads; None without one to be."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Measured on a model and some utterances."""

    right: dict[str, list[float]]
    """Losses of each kind, by utterance, with its own recording."""
    other: dict[str, list[float]]
    """The same texts with another recording of about the same length."""
    output_scale: float | None
    """Root mean square of what the language model reads, over that of its embedding table."""
    readout: list[str]
    """Of the first utterance."""
    has_blank: bool
    blank_rate: float
    """0 where there is no blank."""
    labels_per_frame: float
    empty_rate: float
    """Share of utterances with a text that got none."""
    wer: float
    gradients: dict[str, float]
    """Norm for each trained part."""


def inspect(objective: Objective, examples: Sequence[TrainingExample]) -> Inspection:
    """Measure; leaves the weights as they are, and no gradients behind."""
    objective.eval()
    batches = [collate([example]) for example in examples]
    right: dict[str, list[float]] = {}
    other: dict[str, list[float]] = {}
    for batch, wrong in pair_with_other_audio(objective, batches):
        for losses, given in ((right, batch), (other, wrong)):
            for name, loss in loss_parts(objective, given).items():
                losses.setdefault(name, []).append(loss)
    with torch.inference_mode(), autocast(objective.device):
        readouts = [_read_out(objective, batch) for batch in batches]
        together = (
            examples[start : start + _TRANSCRIBED_TOGETHER] for start in range(0, len(examples), _TRANSCRIBED_TOGETHER)
        )
        texts = [one.text for group in together for one in objective.transcribe(collate(group))]
    references = [batch.references[0] for batch in batches]
    spoken = [bool(text.strip()) for text, reference in zip(texts, references, strict=True) if reference.strip()]
    frames = [token for readout in readouts for token in readout.tokens]
    embeds = [readout.embeds_AE for readout in readouts if readout.embeds_AE is not None]
    scale = None
    if isinstance(objective, SpeechLLMObjective):
        scale = root_mean_square(torch.cat(embeds)) / root_mean_square(objective.model.table_VE)
    return Inspection(
        right=right,
        other=other,
        output_scale=scale,
        readout=readouts[0].tokens,
        has_blank=objective.ctc_frames(1) is not None,
        blank_rate=frames.count(BLANK) / len(frames),
        labels_per_frame=sum(len(batch.labels[0]) for batch in batches) / len(frames),
        empty_rate=1 - fmean(spoken) if spoken else 0.0,
        wer=count_errors(references, texts).wer,
        gradients=_gradients(objective, collate(examples[:_ROWS_OF_GRADIENT])),
    )


def step_of(batch: Batch) -> Step:
    """A step that is this batch and nothing more."""
    labels, answers = (tuple(map(tuple, rows)) for rows in (batch.labels, batch.answers))
    return Step(index=0, epoch=0, seed=0, ids=tuple(batch.ids), labels=labels, duration=batch.duration, answers=answers)


@torch.no_grad()
def loss_parts(objective: Objective, batch: Batch) -> dict[str, float]:
    """Loss of the CTC and of the language model where there are both or one of them, else the loss."""
    with autocast(objective.device):
        metrics = objective(batch, step_of(batch)).metrics
    parts = {name: metrics[f"{name}_loss"] for name in ("ctc", "llm") if f"{name}_loss" in metrics}
    return parts or {"loss": metrics["loss"]}


def pair_with_other_audio(objective: Objective, batches: Sequence[Batch]) -> Iterator[tuple[Batch, Batch]]:
    """Each one-row batch, and its text with another one's audio: the next longer that says something else.

    About the same length, so that a model which only hears how long a recording is has no gap. The longest ones take
    the nearest shorter audio that is still long enough for CTC; where there is none, an utterance is left out.
    """
    ordered = sorted(batches, key=lambda batch: int(batch.lengths_B[0]))
    for index, batch in enumerate(ordered):
        needed = frames_needed(batch.labels[0])
        for candidate in [*ordered[index + 1 :], *reversed(ordered[:index])]:
            frames = objective.ctc_frames(int(candidate.lengths_B[0]))
            if candidate.labels != batch.labels and (frames is None or frames >= needed):
                yield (
                    batch,
                    replace(candidate, labels=batch.labels, references=batch.references, questions=batch.questions),
                )
                break


def _read_out(objective: Objective, batch: Batch) -> Readout:
    """Of a batch of one row."""
    if isinstance(objective, CTCObjective):
        return _read_units(objective, batch)
    assert isinstance(objective, SpeechLLMObjective)
    model, table_VE = objective.model, objective.model.ctc_table_VE
    encoder_BTD, lengths_B = objective.encoder_output(batch)
    projected = model.projector(encoder_BTD, lengths_B)
    lengths_B = model.projector.output_lengths(lengths_B)
    embeds_AE = model.audio_embeddings(projected, lengths_B, table_VE)[0].float()
    if isinstance(projected, Projected):
        length = int(lengths_B[0])
        hidden_AE, blank_A = projected.hidden_BAE[0, :length].float(), projected.blank_BA[0, :length]
        posteriors = frame_posteriors(hidden_AE, blank_A, table_VE)
        ids_A = posteriors.top_ids_AK[:, 0].masked_fill(posteriors.blank_A >= posteriors.top_log_probs_AK[:, 0], -1)
    else:
        ids_A = (F.normalize(embeds_AE, dim=1) @ F.normalize(table_VE.float(), dim=1).T).argmax(dim=1)
    tokens = [BLANK if token < 0 else model.tokenizer.decode([token]).strip() or "_" for token in ids_A.tolist()]
    return Readout(tokens=tokens, embeds_AE=embeds_AE)


def _read_units(objective: CTCObjective, batch: Batch) -> Readout:
    """Of a CTC with units of its own."""
    model = objective.model
    features_BMF, lengths_B = objective.features(batch)
    output = model(features_BMF.to(objective.device), lengths_B.to(objective.device))
    ids = output.logits_BAV[0, : int(output.lengths_B[0])].argmax(dim=-1).tolist()
    return Readout(tokens=[BLANK if unit == BLANK_ID else model.units.decode([unit]).strip() or "_" for unit in ids])


def _gradients(objective: Objective, batch: Batch) -> dict[str, float]:
    """Norms by part, of one step that is not taken."""
    objective.zero_grad(set_to_none=True)
    with autocast(objective.device):
        loss = objective(batch, step_of(batch)).loss
    loss.backward()
    norms = gradient_norms(objective.named_parameters())
    objective.zero_grad(set_to_none=True)
    return norms
