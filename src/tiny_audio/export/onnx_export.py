"""Encoder, projector and CTC head as one ONNX graph, in a folder that needs neither torch nor this package.

Shapes: S samples, A audio tokens, E LLM width, V vocabulary.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from tiny_audio.audio.features import log_mel_spectrogram, mel_filters
from tiny_audio.errors import ExportError, MissingExtraError
from tiny_audio.export.bundle import bundle, entry
from tiny_audio.export.carried_transcriber import VAD_FILE
from tiny_audio.export.folder import new_folder
from tiny_audio.export.onnx_recognizer import GRAPH_FILE, INPUT, OUTPUTS, QUANTIZED_FILE, TOKENS_FILE
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_without_llm, read_config
from tiny_audio.models.ctc_model import is_ctc_checkpoint
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.text.token_bytes import token_bytes
from tiny_audio.weights.store import SILERO_VAD, fetch

READER = "tiny_audio.export.onnx_recognizer"
_PACKAGE = "tiny_audio_onnx"
_SCRIPT = f'''"""Transcribe audio files: python run_onnx.py AUDIO ... (README.md says what must be installed)."""

import sys
from pathlib import Path

from {_PACKAGE}.{entry(READER)} import main

sys.exit(main(Path(__file__).parent))
'''
_README = """# {name} for onnxruntime

The CTC draft (mode `fast`) of a tiny-audio model, without torch and without the package tiny-audio.

    pip install numpy onnxruntime soundfile soxr
    python run_onnx.py AUDIO ...

wav, flac, ogg, opus and mp3 of any rate and length; with `pip install av` also m4a, mp4 and webm. Long audio is cut at
pauses by the detector in `{vad}` (Silero, MIT).

`{graph}` takes `{input}`, up to 30 s of mono float32 samples at 16 kHz, and gives for each audio token ({rate} a
second) the natural-log probability of the blank (`log_blank`) and of the likeliest token (`log_best`), and that token
(`token_ids`). Of equal neighbours one is kept, and blanks are dropped. `tokens.json` has the bytes of each token,
written as Latin-1. `{package}` is a copy of the modules of tiny-audio that do this.

There are no word times in this form, and no language model: the texts are those of
`tiny-audio transcribe --mode fast --dtype float32`{quantized}.
"""


class DraftGraph(nn.Module):
    """From samples `(S,)` to the CTC posteriors of the likeliest token of each frame, each `(A,)`."""

    def __init__(self, model: ASRModel) -> None:
        super().__init__()
        assert isinstance(model.encoder, WhisperEncoder)
        self.encoder = model.encoder
        self.projector = model.projector
        self.register_buffer("table_EV", model.ctc_table_VE.T.contiguous())
        self.table_EV: Tensor

    def forward(self, waveform_S: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of the blank, that of the likeliest token, and the token."""
        log_mel_MF = log_mel_spectrogram(waveform_S, n_mels=self.encoder.n_mels)  # type: ignore[arg-type]
        hidden_BAE, blank_BA, _ = self.projector(self.encoder(log_mel_MF[None]).last_hidden_state)
        logits_AV = hidden_BAE[0] @ self.table_EV
        best_A, ids_A = logits_AV.max(dim=1)
        normaliser_A = torch.logaddexp(logits_AV.logsumexp(dim=1), blank_BA[0])
        return blank_BA[0] - normaliser_A, best_A - normaliser_A, ids_A


def export_onnx(model: ASRModel, folder: Path, *, name: str = "tiny-audio", quantize: bool = False) -> None:
    """Write the folder: graph, tokens, detector, reader and its instructions.

    Args:
        model: with encoder; its language model is not looked at.
        folder: must not exist, or be empty.
        name: of the model, for the instructions.
        quantize: store weights as 8-bit integers, and compute products in them: a quarter of the size.

    Raises:
        ExportError: the model cannot be written as such a graph.
        ConfigError: its tokenizer is not byte-level BPE.
        MissingExtraError: `onnx` or `onnxscript` is not installed.
        OutputError: the folder cannot be written.
    """
    check_exportable(model)
    with new_folder(folder) as part:
        tokens = token_bytes(model.tokenizer, len(model.ctc_table_VE))
        (part / TOKENS_FILE).write_text(json.dumps([token.decode("latin-1") for token in tokens]), encoding="utf-8")
        _write_graph(model, part / GRAPH_FILE)
        if quantize:
            _quantize(part / GRAPH_FILE, part / QUANTIZED_FILE)
        shutil.copyfile(fetch(SILERO_VAD), part / VAD_FILE)
        (part / _PACKAGE).mkdir()
        files = bundle([READER], with_lazy=False) | {"__init__.py": ""}
        for file_name, text in files.items():
            (part / _PACKAGE / file_name).write_text(text, encoding="utf-8")
        (part / "run_onnx.py").write_text(_SCRIPT, encoding="utf-8")
        readme = _README.format(
            name=name,
            vad=VAD_FILE,
            graph=QUANTIZED_FILE if quantize else GRAPH_FILE,
            input=INPUT,
            rate=model.config.encoder.frame_rate / model.config.audio_downsample_rate,
            package=_PACKAGE,
            quantized=", but for a word here and there: the weights are rounded to 8 bits" if quantize else "",
        )
        (part / "README.md").write_text(readme, encoding="utf-8")


def load_for_onnx(name: str | Path) -> ASRModel:
    """The checkpoint of that name or folder without its language model.

    Raises:
        ExportError: there is no CTC in it.
        CheckpointError, UnknownNameError, WeightsError: it cannot be read.
    """
    if is_ctc_checkpoint(name):
        raise ExportError(f"'{name}' is a CTC model of its own; expected a checkpoint with a projector")
    _check_aligned(read_config(name))
    return load_without_llm(name)[0]


def check_exportable(model: ASRModel) -> None:
    """Refuse what has no CTC, or features that a graph cannot compute.

    Raises:
        ExportError: says which.
    """
    _check_aligned(model.config)
    if not isinstance(model.encoder, WhisperEncoder) or model.encoder.pad_to_window:
        family = model.config.encoder.family
        raise ExportError(f"encoder '{family}' cannot be written as ONNX; expected whisper without pad_to_window")


def _check_aligned(config: ASRConfig) -> None:
    if not config.projector.aligned:
        raise ExportError(
            f"projector '{config.projector.kind}' is not aligned, so there is no CTC draft; "
            "expected a checkpoint with projector.aligned, or another --format"
        )


def _write_graph(model: ASRModel, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtraError("onnxscript", "onnx") from None
    graph = DraftGraph(model.float().cpu()).eval().requires_grad_(False)
    mel_filters(graph.encoder.n_mels)  # computed before, so that they are constants of the graph
    with torch.no_grad(), _silence():
        program = torch.onnx.export(
            graph,
            (torch.zeros(32_000),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            verbose=False,
        )
        assert program is not None
        program.save(path)


def _quantize(source: Path, target: Path) -> None:
    """Products in 8-bit integers, activations by their range at run time; takes the place of the source."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    with _silence():
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8, per_channel=True
        )
    source.unlink()


@contextmanager
def _silence() -> Iterator[None]:
    """The exporters talk about what is not installed, and warn of each other."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
