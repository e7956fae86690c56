"""The fields of a transcription request."""

from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from tiny_audio.errors import RequestError
from tiny_audio.text.expected_words import expected_words

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("segment", "word")
_STREAMED_FORMATS = ("json", "text")
_YES, _NO = {"true", "1", "yes", "on"}, {"false", "0", "no", "off", ""}

FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "flac, m4a, mp3, mp4, ogg, wav, webm and more"},
        "model": {"type": "string", "description": "one of /v1/models"},
        "response_format": {"type": "string", "enum": list(RESPONSE_FORMATS), "default": "json"},
        "timestamp_granularities[]": {
            "type": "array",
            "items": {"type": "string", "enum": list(GRANULARITIES)},
            "description": "for verbose_json",
        },
        "stream": {"type": "boolean", "default": False, "description": "server-sent events; for json and text"},
        "language": {"type": "string", "enum": ["en"]},
        "prompt": {"type": "string", "description": "text whose longer words are likely to be said"},
        "hotwords": {"type": "string", "description": "likely names and terms, separated by commas (extension)"},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "description": "accepted, and without effect"},
    },
}
"""JSON schema of the form. Other fields are ignored."""


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """How a recording is to be transcribed."""

    response_format: str
    granularities: frozenset[str]
    stream: bool
    hotwords: tuple[str, ...]

    @classmethod
    def from_form(cls, form: FormData, *, model_names: tuple[str, ...], takes_hotwords: bool) -> "RequestOptions":
        """Read the fields.

        Args:
            form: of the request.
            model_names: that may be asked for.
            takes_hotwords: whether the model can be told them; a prompt is only a hint and may go unheard.

        Raises:
            RequestError: 400 a field has a value that it cannot have; 404 no such model.
        """
        check_model(_text(form, "model") or model_names[0], model_names)
        check_language(_text(form, "language"))
        response_format = _one_of(form, "response_format", RESPONSE_FORMATS)
        stream = _flag(form, "stream")
        if stream and response_format not in _STREAMED_FORMATS:
            raise _bad("stream", f"found stream with {response_format}; only {_listed(_STREAMED_FORMATS)} can stream")
        granularities = [*form.getlist("timestamp_granularities[]"), *form.getlist("timestamp_granularities")]
        for name in granularities:
            if name not in GRANULARITIES:
                raise _bad("timestamp_granularities[]", f"found {name!r}; expected {_listed(GRANULARITIES)}")
        _check_temperature(_text(form, "temperature"))
        hotwords = _text(form, "hotwords")
        if hotwords and not takes_hotwords:
            raise _bad("hotwords", "this model cannot be told hotwords; leave them out")
        return cls(
            response_format=response_format,
            granularities=frozenset(str(name) for name in granularities),
            stream=stream,
            hotwords=tuple(expected_words(hotwords, _text(form, "prompt"))) if takes_hotwords else (),
        )


def check_model(name: str, known: tuple[str, ...]) -> None:
    """Raise a `RequestError` if there is no such model."""
    if name not in known:
        message = f"the model '{name[:100]}' does not exist; there are: {', '.join(known)}"
        raise RequestError(404, message, code="model_not_found", param="model")


def check_language(name: str) -> None:
    """Raise a `RequestError` if it is not English; nothing means English."""
    if name and name.lower().replace("_", "-").split("-")[0] not in ("en", "english"):
        raise _bad("language", f"found {name[:100]!r}; this model knows English (en) only")


def _check_temperature(text: str) -> None:
    try:
        is_good = 0.0 <= float(text or 0.0) <= 1.0
    except ValueError:
        is_good = False
    if not is_good:
        raise _bad("temperature", f"found {text[:100]!r}; expected a number from 0 to 1")


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    if not isinstance(value, str):
        raise _bad(name, "found a file; expected text")
    return value.strip()


def _one_of(form: FormData, name: str, known: tuple[str, ...]) -> str:
    value = _text(form, name) or known[0]
    if value not in known:
        raise _bad(name, f"found {value[:100]!r}; expected {_listed(known)}")
    return value


def _flag(form: FormData, name: str) -> bool:
    value = _text(form, name).lower()
    if value not in _YES | _NO:
        raise _bad(name, f"found {value[:100]!r}; expected true or false")
    return value in _YES


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _bad(param: str, message: str) -> RequestError:
    return RequestError(400, f"{param}: {message}", code="invalid_value", param=param)
