"""uvicorn, with an orderly end and without patience for connections that say nothing."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tiny_audio.errors import ConfigError
from tiny_audio.serving.app import Service
from tiny_audio.serving.live import MAX_MESSAGE_BYTES
from tiny_audio.types import Seconds

_HEAD_TIMEOUT: Seconds = 10.0
"""For the head of a request to arrive."""
_MAX_LIVE_END: Seconds = 30.0
"""For live sessions to tell what is still open."""
_LAST_CALL: Seconds = 0.25
"""For requests that have been sent already to be read."""


class _ImpatientProtocol(H11Protocol):
    """Closes a connection on which the head of a request does not arrive in time (slow loris)."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Let the time run while a head is expected; pieces of it do not set it back."""
        is_expected = self.cycle is None or self.cycle.response_complete
        if not is_expected or self.transport.is_closing():
            self._stop()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT, self._give_up)

    def _give_up(self) -> None:
        # An upgraded connection has another protocol, and is none of our business.
        if self.transport.get_protocol() is self and not self.transport.is_closing():
            self.transport.close()

    def _stop(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None


class HttpServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, then finishes what it has begun; a second signal ends it at once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.was_interrupted = False
        super().__init__(
            uvicorn.Config(
                service.app,
                http=_ImpatientProtocol,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,  # a small message could unpack to a large one
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals here, without the parent's habit of dying of them after all is done."""
        if threading.current_thread() is not threading.main_thread():  # where there are no signals
            yield
            return
        names = (signal.SIGTERM, signal.SIGINT)
        before = {name: signal.signal(name, self.handle_exit) for name in names}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin the end."""
        self.was_interrupted = self.was_interrupted or sig == signal.SIGINT
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End live sessions with all their text, then everything else."""
        for server in self.servers:
            server.close()  # whoever comes now may find another server
        await asyncio.sleep(_LAST_CALL)
        self._service.drain()
        streams = self._service.streams
        deadline = self._loop_time() + _MAX_LIVE_END
        while streams.num_inside and not self.force_exit and self._loop_time() < deadline:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()


def bind(host: str, port: int) -> socket.socket:
    """A socket of that address, to be listened on; port 0 is any that is free.

    Raises:
        ConfigError: it is not to be had.
    """
    try:
        if not 0 <= port < 1 << 16:  # or it would be taken modulo that
            raise OverflowError("there is no such port")
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            [f"cannot listen on {host} port {port}: {reason}; choose others with --host, --port"]
        ) from error
    return bound
