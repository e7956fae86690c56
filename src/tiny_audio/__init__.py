"""Tiny Audio: train, evaluate, run and understand your own small speech recogniser on one machine.

    import tiny_audio

    asr = tiny_audio.load_model()
    print(asr.transcribe("talk.mp3").text)

Everything in `__all__` is public; anything else may move without notice. Names are imported when first used, so that
`import tiny_audio` is fast and does not import torch.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiny_audio import errors
    from tiny_audio.audio.io import load_audio
    from tiny_audio.evaluation.evaluate import evaluate
    from tiny_audio.inference.recognizer import Recognizer
    from tiny_audio.inference.results import Segment, Transcript
    from tiny_audio.inference.transcriber import Transcriber, load_model
    from tiny_audio.models.asr_config import ASRConfig
    from tiny_audio.models.asr_model import ASRModel
    from tiny_audio.models.words import Word

# MKL splits a sum over threads, so another number of them changes the last bit, and 8-bit rounding makes other words of
# that. It reads this before its first product; where it is not in use, or was in use already, nothing happens.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"

__all__ = [
    "ASRConfig",
    "ASRModel",
    "Recognizer",
    "Segment",
    "Transcriber",
    "Transcript",
    "Word",
    "__version__",
    "errors",
    "evaluate",
    "load_audio",
    "load_model",
]

_HOMES = {
    "ASRConfig": "tiny_audio.models.asr_config",
    "ASRModel": "tiny_audio.models.asr_model",
    "Recognizer": "tiny_audio.inference.recognizer",
    "Segment": "tiny_audio.inference.results",
    "Transcriber": "tiny_audio.inference.transcriber",
    "Transcript": "tiny_audio.inference.results",
    "Word": "tiny_audio.models.words",
    "evaluate": "tiny_audio.evaluation.evaluate",
    "load_audio": "tiny_audio.audio.io",
    "load_model": "tiny_audio.inference.transcriber",
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    from importlib import import_module

    if name == "errors":
        return import_module("tiny_audio.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'tiny_audio' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
