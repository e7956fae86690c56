"""faster-whisper, the common fast Whisper on a CPU, on the very file that our own encoder comes from."""

import json
from collections.abc import Sequence

from tiny_audio.errors import MissingExtraError
from tiny_audio.evaluation.systems.system import plain_transcript
from tiny_audio.inference.results import Transcript
from tiny_audio.models.whisper_decoder import CACHED
from tiny_audio.types import Waveform
from tiny_audio.weights.store import fetch

_TIMESTAMPS = [f"<|{step / 50:.2f}|>" for step in range(1501)]
"""The last tokens of every Whisper: 0 to 30 s."""


class FasterWhisper:
    """English, beam search of width 5 and float32, without its voice detector.

    Args:
        size: `base` or `tiny.en` from the weights store; anything else is a name or folder that faster-whisper knows.
    """

    def __init__(self, size: str) -> None:
        try:
            from faster_whisper import WhisperModel  # type: ignore[import-untyped]
        except ImportError:
            raise MissingExtraError("faster-whisper", "dev") from None
        name = f"whisper-{size}"
        files = stored_files(name) if name in CACHED else None
        self.model = WhisperModel(size, device="cpu", compute_type="float32", files=files)

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """One transcript for each waveform, one after the other."""
        return [plain_transcript(self._transcribe(waveform), waveform) for waveform in waveforms]

    def _transcribe(self, waveform: Waveform) -> str:
        segments, _ = self.model.transcribe(waveform, language="en", beam_size=5, vad_filter=False)
        return " ".join(segment.text.strip() for segment in segments)


def stored_files(name: str) -> dict[str, bytes]:
    """The model's files in memory: the store has no list of the vocabulary, which stands in the tokenizer as well."""
    from tokenizers import Tokenizer

    model, tokenizer, config = (fetch(spec) for spec in CACHED[name][:3])
    ids = Tokenizer.from_file(str(tokenizer)).get_vocab()
    tokens = sorted(ids, key=lambda token: ids[token])
    tokens += [token for token in _TIMESTAMPS if token not in ids]  # the tokenizer of tiny.en lacks them
    return {
        "model.bin": model.read_bytes(),
        "tokenizer.json": tokenizer.read_bytes(),
        "config.json": config.read_bytes(),
        "vocabulary.json": json.dumps(tokens).encode(),
    }
