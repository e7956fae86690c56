"""Any server that speaks OpenAI's protocol: POST `<URL>/audio/transcriptions` with a file and a model."""

import io
import os
import time
from collections.abc import Sequence

import httpx2 as httpx
import soundfile

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.errors import AnswerError
from tiny_audio.evaluation.systems.system import plain_transcript
from tiny_audio.inference.results import Transcript
from tiny_audio.types import Seconds, Waveform

_TIMEOUT: Seconds = 300.0
_PAUSES: tuple[Seconds, ...] = (1.0, 4.0, 16.0)
"""Before an utterance is tried again."""
_BUSY = {408, 429, 500, 502, 503, 504}
"""Answers that another try may change."""


class OpenAIServer:
    """Sends one utterance at a time, as 16-bit wav. `OPENAI_API_KEY` is sent where it is set.

    Args:
        url: with the version, such as `http://localhost:8000/v1`; the model's name may stand behind `#`.
        pauses: before each further try.
    """

    def __init__(self, url: str, *, pauses: Sequence[Seconds] = _PAUSES) -> None:
        base, _, model = url.partition("#")
        self.url = f"{base.rstrip('/')}/audio/transcriptions"
        self.model = model or "whisper-1"
        self.pauses = pauses
        key = os.environ.get("OPENAI_API_KEY")
        self.client = httpx.Client(timeout=_TIMEOUT, headers={"Authorization": f"Bearer {key}"} if key else {})

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """One transcript for each waveform.

        Raises:
            AnswerError: the server refused, or did not answer after several tries.
        """
        return [plain_transcript(self._transcribe(waveform), waveform) for waveform in waveforms]

    def _transcribe(self, waveform: Waveform) -> str:
        buffer = io.BytesIO()
        soundfile.write(buffer, waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
        fields = {"model": self.model, "response_format": "json", "language": "en", "temperature": "0"}
        problem = ""
        for pause in (0.0, *self.pauses):
            time.sleep(pause)
            try:
                answer = self.client.post(
                    self.url, data=fields, files={"file": ("audio.wav", buffer.getvalue(), "audio/wav")}
                )
                if answer.status_code == httpx.codes.OK:
                    return str(answer.json()["text"])
                problem = f"status {answer.status_code}: {answer.text[:200].strip()}"
                if answer.status_code not in _BUSY:
                    break
            except httpx.TransportError as error:
                problem = str(error) or type(error).__name__
            except (ValueError, KeyError, TypeError) as error:
                problem = f"found no JSON with 'text' in the answer ({error})"
                break
        raise AnswerError(f"{self.url} gave no transcript: {problem}")
