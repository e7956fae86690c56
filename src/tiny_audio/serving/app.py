"""The web application: routes, and what stands around all of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response, WebSocket
from starlette.middleware.cors import CORSMiddleware

from tiny_audio import __version__
from tiny_audio.errors import RequestError
from tiny_audio.serving.admission import Admission
from tiny_audio.serving.config import ServerConfig
from tiny_audio.serving.engine import Engine
from tiny_audio.serving.live import LiveSession, PlainSession
from tiny_audio.serving.metrics import Metrics
from tiny_audio.serving.middleware import Counted, Drained, Guard
from tiny_audio.serving.options import check_model
from tiny_audio.serving.problems import SCHEMA, add_handlers
from tiny_audio.serving.realtime import RealtimeSession
from tiny_audio.serving.transcriptions import transcription_routes


class Service:
    """A server's state, and its application.

    Args:
        engine: what transcribes; closed at the end.
        config: names, keys and limits.
        metrics: what is counted.
    """

    def __init__(self, engine: Engine, config: ServerConfig | None = None, metrics: Metrics | None = None) -> None:
        self.engine = engine
        self.config = config or ServerConfig()
        self.metrics = metrics or Metrics()
        self.requests = Admission(self.config.max_requests)
        self.streams = Admission(self.config.max_streams)
        self.draining = asyncio.Event()
        self.metrics.watch("requests_inside", "Recordings received or transcribed.", lambda: self.requests.num_inside)
        self.metrics.watch("streams_inside", "Live sessions.", lambda: self.streams.num_inside)
        self.metrics.watch("chunks_waiting", "Chunks that wait for the model.", lambda: engine.num_waiting)
        self.app = self._build()

    def drain(self) -> None:
        """Let nobody in any more; live sessions end, recordings that are inside are finished."""
        self.requests.is_open = self.streams.is_open = False
        self.draining.set()

    def _build(self) -> FastAPI:
        # The usual pages for the documentation load scripts from elsewhere, and this server may have no network.
        app = FastAPI(title="Tiny Audio", version=__version__, docs_url=None, redoc_url=None, lifespan=self._lifespan)
        add_handlers(app)
        self._add_routes(app)
        app.include_router(transcription_routes(self.engine, self.config, self.requests, self.metrics))
        app.add_middleware(Guard, config=self.config)
        if self.config.cors_origins:
            app.add_middleware(
                CORSMiddleware, allow_origins=self.config.cors_origins, allow_methods=["*"], allow_headers=["*"]
            )
        app.add_middleware(Drained)
        app.add_middleware(Counted, metrics=self.metrics)
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        # Every live session may wait for the model in a thread of its own.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(self.config.max_streams + 2))
        yield
        self.drain()
        await asyncio.to_thread(self.engine.close)

    def _add_routes(self, app: FastAPI) -> None:
        created = int(time.time())
        names = self.config.model_names

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            """The names of the model."""
            return {"object": "list", "data": [_model(name, created) for name in names]}

        @app.get("/v1/models/{name:path}", responses={404: {"content": {"application/json": {"schema": SCHEMA}}}})
        async def model(name: str) -> dict[str, Any]:
            """One of them."""
            check_model(name, names)
            return _model(name, created)

        @app.get("/health/live")
        async def live() -> dict[str, str]:
            """The process answers."""
            return {"status": "ok"}

        @app.get("/health/ready", responses={503: {"content": {"application/json": {"schema": SCHEMA}}}})
        async def ready() -> dict[str, str]:
            """The server takes requests."""
            if self.draining.is_set():
                raise RequestError(503, "the server is shutting down", code="shutting_down")
            return {"status": "ready"}

        @app.get("/metrics", response_class=Response)
        async def metrics() -> Response:
            """Numbers for Prometheus."""
            return Response(self.metrics.to_text(), media_type="text/plain; version=0.0.4")

        @app.websocket("/v1/stream")
        async def stream(websocket: WebSocket) -> None:
            await self._serve(PlainSession, websocket)

        @app.websocket("/v1/realtime")
        async def realtime(websocket: WebSocket) -> None:
            await self._serve(RealtimeSession, websocket)

    async def _serve(self, kind: type[LiveSession], websocket: WebSocket) -> None:
        await kind(websocket, self.engine, self.config, self.draining).run(self.streams)


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "tiny-audio"}
