"""The page as a web application, with a folder of its own that goes when it ends."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr
import uvicorn
from fastapi import FastAPI

from tiny_audio.demo.fence import Fence
from tiny_audio.demo.model import DemoModel
from tiny_audio.demo.page import build_page

_TEMP_DIR = "GRADIO_TEMP_DIR"
_LAST_WORDS = 2
"""Seconds for open connections at the end."""
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Liberation Sans", "sans-serif")
_MONO = ("ui-monospace", "Liberation Mono", "monospace")


@contextmanager
def demo_app(model: DemoModel, *, max_upload_mb: float = 100.0) -> Iterator[FastAPI]:
    """The application; at the end, whatever was uploaded is gone and the model is closed.

    Args:
        model: what answers.
        max_upload_mb: MiB in one recording.
    """
    with TemporaryDirectory(prefix="tiny-audio-demo-") as name:
        folder = Path(name).resolve()
        before = os.environ.get(_TEMP_DIR)
        os.environ[_TEMP_DIR] = str(folder)  # Gradio knows no other way
        try:
            yield _build(model, folder, max_upload_mb)
        finally:
            model.close()
            if before is None:
                del os.environ[_TEMP_DIR]
            else:
                os.environ[_TEMP_DIR] = before


def _build(model: DemoModel, folder: Path, max_upload_mb: float) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Fence, folder=folder)
    gr.mount_gradio_app(
        app,
        build_page(model, folder),
        path="/",
        max_file_size=round(max_upload_mb * 2**20),
        theme=gr.themes.Default(primary_hue="teal", neutral_hue="stone", font=_SANS, font_mono=_MONO),
        css=(files(__package__) / "demo.css").read_text(encoding="utf-8"),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        show_error=False,
    )
    return app


class DemoServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, which it raises again at the end.

    Args:
        app: what to serve.
        on_open: called when it can be reached.
    """

    def __init__(self, app: FastAPI, *, on_open: Callable[[], None] = lambda: None) -> None:
        self._on_open = on_open
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_LAST_WORDS
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self.started:
            self._on_open()
