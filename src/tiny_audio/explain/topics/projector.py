"""The projector step by step: shapes, statistics, and how near its output is to text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table
from tiny_audio.explain.loading import load_projector_model
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.projectors.aligned import AlignmentHeads, Projected
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.models.projectors.projector import root_mean_square
from tiny_audio.types import Waveform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TOP_DIMS = 100
_SAMPLE_TEXT = "Hello world"
"""The chapter's; its embeddings stand for text."""
_BINS = 50
_OTHER_HEADS = ("blank", "residual", "sound")
"""Of aligned projectors: beside the vectors, not behind them."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step of the projector gives."""

    name: str
    values: NDArray[np.float32]
    """With the batch of one in front."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A clip through a projector."""

    steps: tuple[Step, ...]
    """The encoder's frames first, the audio tokens last."""
    text_NE: NDArray[np.float32]
    """Embeddings of a text, as the language model knows them."""
    frame_duration_ms: float
    stack_factor: int
    table_rms: float

    @property
    def encoder(self) -> NDArray[np.float32]:
        """The encoder's frames `(1, T, D)`."""
        return self.steps[0].values

    @property
    def output(self) -> NDArray[np.float32]:
        """The audio tokens `(1, A, E)`."""
        return self.steps[-1].values

    def variances(self) -> NDArray[np.float32]:
        """Of each dimension of the output over the clip, the largest first."""
        return np.sort(self.output[0].var(axis=0))[::-1]


def replace_projector(model: ASRModel, *, kind: str | None, stack_factor: int | None) -> None:
    """Put a new projector of another kind, or one that stacks more frames, in place of the trained one.

    Raises:
        UnknownNameError: no such kind.
        ConfigError: settings that do not go together.
    """
    config = model.config.projector
    if kind is not None:
        # New letters would have to be told the vocabulary, and only the CTC reads them.
        config = replace(config, kind=kind, aligned=kind == "conv_blocks", spelling_dim=0)  # type: ignore[arg-type]
    config = replace(config, stack_factor=stack_factor or config.stack_factor)
    projector = build_projector(config, encoder_dim=model.config.encoder_dim, llm_dim=model.table_VE.shape[1])
    projector.calibrate(model.table_VE, rms=config.output_scale)
    model.config = replace(model.config, projector=config)
    model.projector = projector.eval()


@torch.inference_mode()
def project(model: ASRModel, waveform: Waveform) -> Projection:
    """Run a clip through encoder and projector and keep what each step of the projector gives.

    Raises:
        AudioError: the clip is too short or too long for the encoder.
    """
    encoder_1TD = model.encode(waveform)
    projector = model.projector.projector if isinstance(model.projector, AlignmentHeads) else model.projector
    steps = [Step(name="encoder", values=encoder_1TD.numpy())]
    recorder = _Recorder(projector)
    try:
        output = projector(encoder_1TD)
    finally:
        recorder.remove()
    tokens_1AE = output.hidden_BAE[..., : model.config.llm_dim] if isinstance(output, Projected) else output
    steps += [step for step in recorder.steps(encoder_1TD) if step.name not in _OTHER_HEADS]
    if not np.array_equal(steps[-1].values, tokens_1AE.numpy()):
        steps.append(Step(name="output", values=tokens_1AE.numpy()))
    assert model.encoder is not None
    return Projection(
        steps=tuple(steps),
        text_NE=model.table_VE[torch.tensor(model.tokenizer.encode(_SAMPLE_TEXT, add_special_tokens=False))].numpy(),
        frame_duration_ms=1000 / model.encoder.frame_rate,
        stack_factor=model.config.audio_downsample_rate,
        table_rms=root_mean_square(model.table_VE),
    )


class _Recorder:
    """Keeps inputs and outputs of a projector's own layers, in the order in which they run."""

    def __init__(self, projector: nn.Module) -> None:
        self._calls: list[tuple[str, Tensor, Tensor]] = []
        parts = [
            (f"{name}.{index}" if isinstance(child, nn.ModuleList) else name, part)
            for name, child in projector.named_children()
            for index, part in (enumerate(child) if isinstance(child, nn.ModuleList) else [(0, child)])
        ]
        self._hooks = [
            part.register_forward_hook(lambda _, inputs, output, name=name: self._keep(name, inputs, output))
            for name, part in parts
            if not isinstance(part, nn.Dropout)
        ]

    def _keep(self, name: str, inputs: tuple[object, ...], output: object) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            self._calls.append((name, inputs[0], output))

    def remove(self) -> None:
        """Leave the projector as it was."""
        for hook in self._hooks:
            hook.remove()

    def steps(self, first: Tensor) -> list[Step]:
        """Every output, and every input that no layer gave: what was done between the layers."""
        known, steps = [first], []
        for name, given, output in self._calls:
            if not any(_is_same(given, tensor) for tensor in known):
                is_shorter = given.shape[1] < known[-1].shape[1]
                known.append(given)
                steps.append(Step(name="frames stacked" if is_shorter else "activation", values=given.numpy()))
            known.append(output)
            steps.append(Step(name=name, values=output.numpy()))
        return steps


def _is_same(left: Tensor, right: Tensor) -> bool:
    return left is right or (left.shape == right.shape and torch.equal(left, right))


def explore(request: Request) -> Findings:
    """The steps, their statistics, and three pictures."""
    model = load_projector_model(request.model)
    if request.projector is not None or request.rates:
        replace_projector(model, kind=request.projector, stack_factor=request.rates[0] if request.rates else None)
        state = f"new weights of kind {model.config.projector.kind}"
    else:
        state = f"the {model.config.projector.kind} of {request.model}"
    projection = project(model, request.clip().waveform)
    return Findings(
        text=f"Projector: {state}\n\n{describe(projection)}",
        pictures={
            "projection_stages": draw_stages(projection),
            "dimension_importance": draw_importance(projection),
            "embedding_distributions": draw_distributions(projection),
        },
    )


def describe(projection: Projection) -> str:
    """The steps, their statistics, the summary, and the share of the dimensions that vary most."""
    encoder, output = projection.encoder, projection.output
    k, ms = projection.stack_factor, projection.frame_duration_ms
    rows = [
        [f"{number}. {step.name}", _shape(step.values), *_statistics(step.values)]
        for number, step in enumerate(projection.steps, start=1)
    ]
    stages = [("Audio (encoder)", encoder), ("After projector", output), ("Text (LLM native)", projection.text_NE)]
    heads = ["Mean", "Std", "Min", "Max"]
    variances = projection.variances()
    top = variances[:_TOP_DIMS].sum() / variances.sum()
    num_top = min(_TOP_DIMS, len(variances))
    rms = float(np.sqrt(np.square(output).mean()))
    return "\n".join(
        [
            headline("STEPS"),
            table(["Step", "Shape", *heads], rows),
            "",
            headline("SUMMARY"),
            f"Input:  {encoder.shape[1]} frames of {ms:g} ms, {encoder.shape[2]}D",
            f"Output: {output.shape[1]} audio tokens of {k * ms:g} ms, {output.shape[2]}D",
            f"Time reduction: {encoder.shape[1]} to {output.shape[1]} ({encoder.shape[1] / output.shape[1]:.1f}x)",
            f"Dimension change: {encoder.shape[2]}D to {output.shape[2]}D",
            "",
            headline("EMBEDDING STATISTICS"),
            table(["Stage", *heads], [[name, *_statistics(values)] for name, values in stages]),
            "",
            f"Top {num_top} of {len(variances)} dims capture {100 * top:.1f}% of variance",
            "",
            note(
                f"the root mean square of the output is {rms:.3f}, of the language model's embeddings"
                f" {projection.table_rms:.3f}. A last norm with weights of 1, as in the chapter, makes it 1.00 whatever"
                " the embeddings have; `calibrate` gives new weights the loudness of text. Of an aligned projector's"
                " output the language model reads a mix of embeddings, so it may be louder."
            ),
        ]
    )


def _statistics(values: NDArray[np.float32]) -> list[str]:
    return [f"{value:z.4f}" for value in (values.mean(), values.std(), values.min(), values.max())]


def _shape(values: NDArray[np.float32]) -> str:
    return "[" + ", ".join(map(str, values.shape)) + "]"


def draw_stages(projection: Projection) -> Draw:
    """How values are distributed after each step, and in text."""
    panels = [(step.name, step.values) for step in projection.steps] + [("text embeddings", projection.text_NE)]

    def draw(figure: "Figure") -> None:
        columns = 3
        rows = -(-len(panels) // columns)
        figure.set_size_inches(15, 3.4 * rows)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for place, (name, values) in zip(axes, panels, strict=False):
            is_text = name == "text embeddings"
            place.hist(values.ravel(), bins=_BINS, color="goldenrod" if is_text else "steelblue")
            place.set(
                title=f"{name} (μ={values.mean():z.3f}, σ={values.std():.3f})", xlabel="Value", ylabel="Frequency"
            )
        for unused in axes[len(panels) :]:
            unused.set_visible(False)

    return draw


def draw_importance(projection: Projection) -> Draw:
    """Variance of each dimension of the output, sorted."""
    variances = projection.variances()
    top = variances[:_TOP_DIMS]

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(12, 4)
        left, right = figure.subplots(1, 2)
        left.plot(variances)
        left.set(xlabel="Dimension (sorted)", ylabel="Variance", title="Dimension importance", yscale="log")
        right.bar(range(len(top)), top)
        right.set(xlabel="Top dimensions", ylabel="Variance", title=f"Top {len(top)} most important dimensions")

    return draw


def draw_distributions(projection: Projection) -> Draw:
    """Values of the encoder, of the projector, and of text."""
    stages: Sequence[tuple[str, NDArray[np.float32], str]] = (
        ("Audio embeddings (encoder output)", projection.encoder, "steelblue"),
        ("After projector", projection.output, "seagreen"),
        ("Text embeddings (LLM native)", projection.text_NE, "goldenrod"),
    )

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(15, 4)
        for axes, (title, values, colour) in zip(figure.subplots(1, 3), stages, strict=True):
            axes.hist(values.ravel(), bins=_BINS, color=colour)
            axes.axvline(values.mean(), color="crimson", linestyle="--", label=f"Mean: {values.mean():z.3f}")
            axes.set(title=title, xlabel="Value", ylabel="Frequency")
            axes.legend()

    return draw
