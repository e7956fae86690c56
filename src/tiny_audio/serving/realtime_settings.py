"""What a realtime session may be told: `session.update`, and `transcription_session.update` of the beta."""

from dataclasses import dataclass, replace
from typing import Any

from tiny_audio.audio.vad import VadOptions
from tiny_audio.errors import RequestError
from tiny_audio.inference.streaming import stream_options
from tiny_audio.serving.options import check_language, check_model

SAMPLE_RATE = 24_000
"""The only one that the protocol has for 16-bit samples."""
PCM = {"type": "audio/pcm", "rate": SAMPLE_RATE}
SERVER_VAD: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}
_VAD_LIMITS = {"threshold": 1, "prefix_padding_ms": 5_000, "silence_duration_ms": 10_000}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a session may be told."""

    model: str
    prompt: str = ""
    turn_detection: dict[str, Any] | None
    """With the names of `SERVER_VAD`; None: only the client ends a turn."""

    def vad_options(self, base: VadOptions) -> VadOptions:
        """When speech has begun and ended.

        Raises:
            ConfigError: a number is out of range.
        """
        options = stream_options(base)
        if self.turn_detection is None:
            return options
        silence = int(self.turn_detection["silence_duration_ms"])
        padding = min(int(self.turn_detection["prefix_padding_ms"]), silence)
        return replace(
            options,
            threshold=float(self.turn_detection["threshold"]),
            min_silence_duration_ms=silence,
            speech_pad_ms=padding,
        )


def read_settings(session: Any, old: Settings, model_names: tuple[str, ...]) -> Settings:
    """The settings after an update, in which what is not named stays.

    Raises:
        RequestError: something is not possible here.
    """
    if not isinstance(session, dict):
        raise _bad("session", "expected an object")
    if session.get("type", "transcription") != "transcription":
        raise _bad("session.type", "expected 'transcription'; this server does not talk")
    beta = {"format": session.get("input_audio_format"), "transcription": session.get("input_audio_transcription")}
    beta |= {"turn_detection": session["turn_detection"]} if "turn_detection" in session else {}
    given = {name: value for name, value in beta.items() if value is not None or name == "turn_detection"}
    given |= _object(_object(session.get("audio"), "session.audio").get("input"), "session.audio.input")
    if given.get("format", PCM) not in (PCM, {"type": "audio/pcm"}, "pcm16"):
        raise _bad("format", f"expected 16-bit samples at {SAMPLE_RATE} Hz: {{'type': 'audio/pcm', 'rate': 24000}}")
    transcription = _object(given.get("transcription"), "transcription")
    model, prompt, language = (
        _string(transcription.get(name), name, default)
        for name, default in (("model", old.model), ("prompt", old.prompt), ("language", "en"))
    )
    check_model(model, model_names)
    check_language(language)
    turn_detection = given.get("turn_detection", old.turn_detection)
    if turn_detection is not None:
        turn_detection = _read_turn_detection(_object(turn_detection, "turn_detection"))
    return Settings(model=model, prompt=prompt, turn_detection=turn_detection)


def _read_turn_detection(given: dict[str, Any]) -> dict[str, Any]:
    if given.get("type", "server_vad") != "server_vad":
        raise _bad("turn_detection.type", "expected 'server_vad', or null for turn_detection")
    settings = SERVER_VAD | {name: given[name] for name in SERVER_VAD if given.get(name) is not None}
    for name, limit in _VAD_LIMITS.items():
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= limit:
            raise _bad(f"turn_detection.{name}", f"expected a number from 0 to {limit}")
    return settings


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise _bad(name, "expected an object")
    return value or {}


def _string(value: Any, name: str, default: str) -> str:
    if value is not None and not isinstance(value, str):
        raise _bad(name, "expected text")
    return value or default


def _bad(param: str, message: str) -> RequestError:
    return RequestError(400, f"{param}: {message}", code="invalid_value", param=param)
