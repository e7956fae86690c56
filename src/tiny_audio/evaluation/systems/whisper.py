"""Plain Whisper from the weights store, the baseline: silence is transcribed too, as the original does."""

from collections.abc import Sequence

from tiny_audio.audio.vad import EverythingIsSpeech, VadOptions
from tiny_audio.evaluation.systems.system import plain_transcript
from tiny_audio.inference.longform import cut_into_chunks
from tiny_audio.inference.results import Transcript
from tiny_audio.models.whisper_decoder import WhisperTranscriber
from tiny_audio.types import Waveform


class PlainWhisper:
    """Greedy Whisper on pieces of at most 30 s, cut where our own model cuts."""

    def __init__(self, name: str) -> None:
        self.model = WhisperTranscriber.from_cache(name)

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """One transcript for each waveform."""
        pieces = [_pieces(waveform) for waveform in waveforms]
        # The first pieces are one batch; the rest of long audio is a batch of its own.
        texts = [[text] for text in self.model.transcribe([first for first, *_ in pieces])]
        for row, (_, *rest) in zip(texts, pieces, strict=True):
            row.extend(text for piece in rest for text in self.model.transcribe([piece]))
        return [plain_transcript(" ".join(row), waveform) for row, waveform in zip(texts, waveforms, strict=True)]


def _pieces(waveform: Waveform) -> list[Waveform]:
    chunks = cut_into_chunks([waveform], EverythingIsSpeech(), VadOptions(kind="none"))
    return [chunk.waveform for chunk in chunks]
