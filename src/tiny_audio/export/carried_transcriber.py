"""A transcriber whose voice activity detector lies in an exported folder. Runs there too, so it imports no torch."""

import logging
from functools import partial
from pathlib import Path

from tiny_audio.audio.silero import SileroDetector, load_silero
from tiny_audio.audio.vad import Detector, VadOptions
from tiny_audio.inference.transcriber import SpeechModel, Transcriber

VAD_FILE = "silero_vad.onnx"
_log = logging.getLogger(__name__)


class CarriedTranscriber(Transcriber):
    """Cuts long audio as `Transcriber` does, with the detector's file of a folder.

    Args:
        model: what hears the chunks.
        folder: with `VAD_FILE`. Without the file, or without onnxruntime, speech is told from silence by level.
    """

    def __init__(self, model: SpeechModel, folder: Path) -> None:
        self._silero = None
        try:
            if (folder / VAD_FILE).is_file():
                self._silero = partial(SileroDetector, load_silero(folder / VAD_FILE))
        except ImportError as error:
            _log.warning("speech is told from silence by level alone: %s", error)
        super().__init__(model, vad=VadOptions(kind="auto" if self._silero else "energy"))

    def new_detector(self) -> Detector:
        """A voice activity detector for one signal."""
        return self._silero() if self._silero else super().new_detector()
