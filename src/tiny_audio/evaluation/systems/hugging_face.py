"""Any speech recogniser on the model hub, or in a folder, that the pipelines of transformers can run."""

from collections.abc import Sequence
from typing import Any

from tiny_audio.audio.timebase import MAX_CHUNK, SAMPLE_RATE
from tiny_audio.errors import CheckpointError
from tiny_audio.evaluation.systems.system import plain_transcript
from tiny_audio.inference.results import Transcript
from tiny_audio.types import Waveform


class HuggingFacePipeline:
    """`pipeline("automatic-speech-recognition")` with its own settings; audio beyond 30 s is cut by the pipeline.

    Args:
        model: hub id or folder.
    """

    def __init__(self, model: str) -> None:
        from transformers import pipeline

        try:
            self.pipeline = pipeline("automatic-speech-recognition", model=model, chunk_length_s=MAX_CHUNK)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise CheckpointError(f"'{model}' cannot be loaded by transformers: {reason}") from error

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """One transcript for each waveform."""
        inputs: Any = [{"raw": waveform, "sampling_rate": SAMPLE_RATE} for waveform in waveforms]
        answers = self.pipeline(inputs)
        return [plain_transcript(answer["text"], waveform) for answer, waveform in zip(answers, waveforms, strict=True)]
