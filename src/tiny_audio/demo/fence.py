"""What a browser may ask the demo for, and what its page may ask of others: nothing.

Gradio can do more than this page needs: it fetches addresses for its callers, and lets them run what its interface
never offers. What is not listed here does not exist.
"""

import re
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READ = (
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static|svelte)/.*"
    r"|/gradio_api/(info|startup-events|upload_progress|queue/data|heartbeat/\w+)"
)
_WRITE = r"/gradio_api/(queue/join|run/predict|cancel|upload)"
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self';"
    " form-action 'self'; frame-ancestors 'self'"
)


class Fence:
    """Middleware: refuses other paths, and forbids the page to load anything from elsewhere.

    Args:
        app: what is behind it.
        folder: of temporary files, the only ones that may be read.
    """

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app = app
        reading = re.compile(rf"{_READ}|/gradio_api/file={re.escape(str(folder))}/(?!.*\.\.).*")
        self._allowed = {"GET": reading, "HEAD": reading, "POST": re.compile(_WRITE)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        allowed = self._allowed.get(scope.get("method", ""))
        if not allowed or not allowed.fullmatch(scope["path"]):
            await PlainTextResponse("not found\n", status_code=404)(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, send_guarded)


def names_foreign_file(value: Any, folder: Path) -> bool:
    """Whether something that a browser sent names an address, or a file that it has not uploaded.

    Args:
        value: JSON.
        folder: of what was uploaded, without links in its own path.
    """
    if isinstance(value, dict):
        path = value.get("path", str(folder))
        if not isinstance(path, str) or not Path(path).resolve().is_relative_to(folder):
            return True
        value = list(value.values())
    return isinstance(value, list) and any(names_foreign_file(part, folder) for part in value)
