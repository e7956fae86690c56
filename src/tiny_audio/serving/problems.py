"""Whatever goes wrong, in the shape that OpenAI's clients understand."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tiny_audio.errors import AudioDecodeError, AudioError, AudioTooLongError, ConfigError, RequestError, TinyAudioError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
"""JSON schema of an error."""

_TYPES = {401: "authentication_error", 404: "not_found_error", 408: "timeout_error", 429: "rate_limit_error"}
_log = logging.getLogger(__name__)


def as_request_error(error: Exception) -> RequestError:
    """What the client may know of an error; of one that nobody foresaw, nothing."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, AudioTooLongError):
        return RequestError(413, str(error), code="audio_too_long", param="file")
    if isinstance(error, AudioDecodeError):
        return RequestError(415, str(error), code="unsupported_format", param="file")
    if isinstance(error, AudioError):
        return RequestError(400, str(error), code="invalid_audio", param="file")
    if isinstance(error, ConfigError):
        return RequestError(400, " ".join(str(error).split()), code="invalid_value")
    # Its message may name files of the server.
    _log.error("a request failed: %s", type(error).__name__, exc_info=not isinstance(error, TinyAudioError) and error)
    return RequestError(500, "the server failed; its log says why", code="server_error")


def error_body(error: RequestError) -> dict[str, Any]:
    """The error as OpenAI writes it."""
    kind = "server_error" if error.status >= 500 else _TYPES.get(error.status, "invalid_request_error")
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}


def error_response(error: Exception) -> JSONResponse:
    """The answer to a request that failed."""
    known = as_request_error(error)
    headers = {"WWW-Authenticate": "Bearer"} if known.status == 401 else {}
    if known.retry_after:
        headers["Retry-After"] = str(known.retry_after)
    elif known.status >= 500:
        headers["X-Should-Retry"] = "false"  # to OpenAI's clients: it would end like this again
    return JSONResponse(error_body(known), status_code=known.status, headers=headers)


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the application and of the framework in this shape."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        return error_response(error)

    async def of_framework(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        response = error_response(RequestError(error.status_code, str(error.detail).lower()))
        response.headers.update(error.headers or {})  # such as Allow
        return response

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return error_response(RequestError(400, str(first["msg"]), param=str(first["loc"][-1]), code="invalid_value"))

    app.add_exception_handler(TinyAudioError, ours)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, ours)
