"""The server of a test; without the extra `serve` there are no tests here."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from live_server import Server

_NEEDED = ("fastapi", "prometheus_client", "python_multipart", "uvicorn", "websockets")
collect_ignore_glob = [] if all(find_spec(name) for name in _NEEDED) else ["test_*.py"]


@pytest.fixture
def serve() -> "Iterator[Callable[..., Server]]":
    """Start servers that end with the test."""
    from live_server import Server, SlowModel
    from tiny_audio.serving.config import ServerConfig

    servers: list[Server] = []

    def start(model: Any = None, *, engine_options: dict[str, Any] | None = None, **config: Any) -> Server:
        servers.append(Server(model or SlowModel(), engine_options or {}, ServerConfig(**config)))
        return servers[-1]

    yield start
    for server in servers:
        if isinstance(server.model, SlowModel):
            server.model.go.set()
        server.stop()


@pytest.fixture
def server(serve: "Callable[..., Server]") -> "Server":
    """A server as it is by default."""
    return serve()
