"""What happens to every request before and after its route."""

import asyncio
import hmac
import json
import time
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiny_audio.errors import RequestError
from tiny_audio.serving.config import ServerConfig
from tiny_audio.serving.metrics import Metrics
from tiny_audio.serving.problems import error_body, error_response
from tiny_audio.types import Seconds

PUBLIC_PATHS = ("/health/", "/openapi.json")
KEY_PROTOCOL = "openai-insecure-api-key."
"""A browser cannot set headers of a WebSocket, so OpenAI's clients offer the key as a protocol with this prefix."""
_MAX_DRAINED = 1 << 26
_DRAIN_TIMEOUT: Seconds = 5.0


class Guard:
    """Turns away who has not the key, and pages of other sites that would use the browser of somebody who has."""

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        error = self._error(scope) if scope["type"] in ("http", "websocket") else None
        if error is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await error_response(error)(scope, receive, send)
        else:
            await _refuse_websocket(error, receive, send)

    def _error(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        if scope["type"] == "websocket" and not self._is_own_page(headers):
            return RequestError(403, "pages of this site may not use the server; see --cors-origin", code="origin")
        if self._config.api_key is None or scope["path"].startswith(PUBLIC_PATHS):
            return None
        given = _key_of(headers)
        if not given:
            return RequestError(401, "no API key; send it as 'Authorization: Bearer KEY'", code="missing_api_key")
        if not hmac.compare_digest(given.encode(), self._config.api_key.encode()):
            return RequestError(401, "wrong API key", code="invalid_api_key")
        return None

    def _is_own_page(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return (
            origin is None
            or bool({origin, "*"} & set(self._config.cors_origins))
            or urlsplit(origin).netloc == headers.get("host")
        )


def _key_of(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    protocols = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    return next((name.removeprefix(KEY_PROTOCOL) for name in protocols if name.startswith(KEY_PROTOCOL)), "")


async def _refuse_websocket(error: RequestError, receive: Receive, send: Send) -> None:
    """Answer the handshake with the status, before there is a WebSocket."""
    await receive()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": json.dumps(error_body(error)).encode()})


class Drained:
    """Reads what is left of a body before the answer is sent: a client that is still sending would not see it.

    Within limits. Who sends on after them finds the connection closed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_read = scope["method"] in ("GET", "HEAD", "OPTIONS")

        async def receive_and_look() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or not message.get("more_body", False)
            return message

        async def drain_and_send(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_read:
                drained = 0
                with suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN_TIMEOUT):
                        while not is_read and drained < _MAX_DRAINED:
                            drained += len((await receive_and_look()).get("body", b""))
                if not is_read:
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive_and_look, drain_and_send)


class Counted:
    """Counts requests by route and status, and their time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_look(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            # What was asked for in vain has no route: its path is the client's word and may be anything.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - started)
