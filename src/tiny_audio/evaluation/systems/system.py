"""What an evaluation asks of a recogniser, and how one is named on the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tiny_audio.audio.timebase import samples_to_seconds
from tiny_audio.errors import UnknownNameError
from tiny_audio.inference.results import Transcript
from tiny_audio.types import Waveform
from tiny_audio.weights.hub_checkpoint import is_hub_name


class BatchTranscriber(Protocol):
    """Anything that turns speech into text; `inference.transcriber.Transcriber` is one."""

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """One transcript for each waveform of any length, in order.

        Raises:
            AudioError: a waveform cannot be used.
            AnswerError: the system gave no answer; other utterances may still get one.
        """


@runtime_checkable
class Responder(Protocol):
    """A system that can do more than transcribe."""

    def respond_batch(self, waveforms: Sequence[Waveform], task: str) -> list[str]:
        """One answer for each waveform to a task such as `emotion` or `describe`."""


def build_system(name: str) -> BatchTranscriber:
    """The system of that name, ready to transcribe.

    A name is one of the weights store (`whisper-base`, `whisper-tiny.en`), a kind and a model (`faster-whisper:base`,
    `hf:facebook/wav2vec2-base-960h`), the URL of a server that speaks OpenAI's protocol (`http://localhost:8000/v1`, a
    model behind `#`), or else a checkpoint of ours, with a mode or a format of the products behind `@`
    (`tiny-audio-base@fast`, `tiny-audio-base@float32`, of a hub repository `user/name@v1@fast`).

    Raises:
        TinyAudioError: there is no such system, or something that it needs is missing.
    """
    kind = name.partition(":")[0]
    return _KINDS.get(kind, _checkpoint)(name)


def plain_transcript(text: str, waveform: Waveform) -> Transcript:
    """A transcript of a system that gives nothing but text, on one line."""
    return Transcript(text=" ".join(text.split()), segments=(), duration=samples_to_seconds(len(waveform)))


def _checkpoint(name: str) -> BatchTranscriber:
    from tiny_audio.inference.recognizer import DTYPES
    from tiny_audio.inference.transcriber import MODES, Transcriber

    checkpoint, *rest = name.split("@")
    if (
        rest
        and is_hub_name(checkpoint)
        and not Path(checkpoint).is_dir()
        and set(rest[0].split(",")).isdisjoint((*MODES, *DTYPES))
    ):
        checkpoint = f"{checkpoint}@{rest.pop(0)}"  # the revision of a hub repository
    options: dict[str, Any] = {}
    for choice in filter(None, ",".join(rest).split(",")):
        if choice not in (*MODES, *DTYPES):
            raise UnknownNameError("mode or dtype", choice, known=[*MODES, *DTYPES])
        options["mode" if choice in MODES else "dtype"] = choice
    return Transcriber.from_pretrained(checkpoint, **options)


def is_checkpoint(name: str) -> bool:
    """Whether it names a checkpoint of ours, which has modes."""
    return name.partition(":")[0] not in _KINDS and not is_predictions(name)


def _whisper(name: str) -> BatchTranscriber:
    from tiny_audio.evaluation.systems.whisper import PlainWhisper

    return PlainWhisper(name)


def _faster_whisper(name: str) -> BatchTranscriber:
    from tiny_audio.evaluation.systems.faster_whisper import FasterWhisper

    return FasterWhisper(name.partition(":")[2])


def _hugging_face(name: str) -> BatchTranscriber:
    from tiny_audio.evaluation.systems.hugging_face import HuggingFacePipeline

    return HuggingFacePipeline(name.partition(":")[2])


def _openai_url(name: str) -> BatchTranscriber:
    from tiny_audio.evaluation.systems.openai_url import OpenAIServer

    return OpenAIServer(name)


_KINDS: dict[str, Callable[[str], BatchTranscriber]] = {
    "whisper-base": _whisper,
    "whisper-tiny.en": _whisper,
    "faster-whisper": _faster_whisper,
    "hf": _hugging_face,
    "http": _openai_url,
    "https": _openai_url,
}


def is_predictions(name: str) -> bool:
    """Whether a name means stored answers and not a system: a file of JSON lines."""
    return Path(name).suffix == ".jsonl"
