"""Who is let in: no more at a time than can be served, and nobody any more at the end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tiny_audio.errors import RequestError

_RETRY_SOON, _RETRY_LATER = 2, 10
"""Seconds after which a client may try again: when others are done, when another server has taken over."""


class Admission:
    """How many there are, of how many at most; the methods are for any thread."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_inside = 0
        self.is_open = True
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places.

        Raises:
            RequestError: 429 when all are taken, 503 when nobody is let in any more.
        """
        with self._lock:
            if not self.is_open:
                raise RequestError(503, "the server is shutting down", code="shutting_down", retry_after=_RETRY_LATER)
            if self.num_inside >= self.capacity:
                message = f"the server is busy with {self.capacity} requests, as many as it takes; try again"
                raise RequestError(429, message, code="server_busy", retry_after=_RETRY_SOON)
            self.num_inside += 1
        try:
            yield
        finally:
            with self._lock:
                self.num_inside -= 1
