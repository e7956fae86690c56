"""Mode fast without torch: an exported graph, run by onnxruntime. A copy of this file lies in the exported folder.

Shapes: A audio tokens.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_audio.errors import ExportError, TinyAudioError
from tiny_audio.export.carried_transcriber import CarriedTranscriber
from tiny_audio.inference.guards import NO_SPEECH_THRESHOLD, active_duration, no_speech_prob
from tiny_audio.types import Waveform

GRAPH_FILE, QUANTIZED_FILE, TOKENS_FILE = "model.onnx", "model_int8.onnx", "tokens.json"
INPUT, OUTPUTS = "waveform", ("log_blank", "log_best", "token_ids")
"""Of the graph: samples `(S,)` in, and for each audio token the blank's and the best token's log-probability, and the
best token."""


@dataclass(frozen=True, kw_only=True)
class OnnxHypothesis:
    """What was understood in one waveform."""

    text: str
    draft: str
    no_speech: bool
    no_speech_prob: float


class OnnxRecognizer:
    """The greedy CTC draft of short waveforms, as `Recognizer` in mode fast writes it.

    Args:
        folder: written by `tiny-audio export --format onnx`.
        threads: of onnxruntime; 0: all cores.

    Raises:
        ExportError: the folder holds no exported graph.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        import onnxruntime

        path = next((folder / name for name in (QUANTIZED_FILE, GRAPH_FILE) if (folder / name).is_file()), None)
        if path is None:
            raise ExportError(f"'{folder}' has no {GRAPH_FILE}; expected a folder of `tiny-audio export --format onnx`")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        tokens = json.loads((folder / TOKENS_FILE).read_text(encoding="utf-8"))
        self._tokens = [token.encode("latin-1") for token in tokens]

    def transcribe_waveforms(self, waveforms: Sequence[Waveform]) -> list[OnnxHypothesis]:
        """Transcribe 16 kHz waveforms of 0.1 to 30 s each."""
        return [self._transcribe(waveform) for waveform in waveforms]

    def _transcribe(self, waveform: Waveform) -> OnnxHypothesis:
        log_blank_A, log_best_A, ids_A = self._session.run(OUTPUTS, {INPUT: waveform})
        draft = self._decode(collapse_greedy(ids_A.tolist(), (log_blank_A >= log_best_A).tolist()))
        silence = no_speech_prob(log_blank_A, log_best_A, active_duration(waveform))
        text = "" if silence >= NO_SPEECH_THRESHOLD else draft
        return OnnxHypothesis(text=text, draft=draft, no_speech=not text, no_speech_prob=silence)

    def _decode(self, token_ids: list[int]) -> str:
        text = b"".join(self._tokens[token] for token in token_ids).decode("utf-8", errors="replace")
        return " ".join(text.split())


def collapse_greedy(token_ids: list[int], is_blank: list[bool]) -> list[int]:
    """The tokens of a path: of equal neighbours one, and no blanks."""
    path = [-1 if blank else token for token, blank in zip(token_ids, is_blank, strict=True)]
    before = [-1, *path]
    return [token for token, last in zip(path, before, strict=False) if token not in (-1, last)]


def main(folder: Path) -> int:
    """The command line of `run_onnx.py`: the text of each file on standard output."""
    parser = argparse.ArgumentParser(prog="run_onnx.py", description="Transcribe audio files with onnxruntime.")
    parser.add_argument("audio", nargs="+", help="audio files of any length")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="processor threads (default: all)")
    args = parser.parse_args()
    exit_code = 0
    transcriber = CarriedTranscriber(OnnxRecognizer(folder, threads=args.threads), folder)
    for source in args.audio:
        try:
            print(transcriber.transcribe(source).text, flush=True)  # noqa: T201
        except TinyAudioError as error:
            print(f"run_onnx.py: error: {error}", file=sys.stderr)  # noqa: T201
            exit_code = 1
    return exit_code
