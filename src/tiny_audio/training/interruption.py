"""Ctrl-C and SIGTERM during training: the step is finished and saved before the process ends."""

import logging
import signal
import threading
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)


class Interruption:
    """Within it, the first SIGINT or SIGTERM only sets `signal`; a second Ctrl-C ends the process at once.

    Attributes:
        signal: the number of the signal, or 0.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        logger.warning("stopping after this step; Ctrl-C again stops at once, without saving")


def leave(number: int) -> None:
    """End as a process does that the signal has ended.

    Raises:
        KeyboardInterrupt: for SIGINT.
        SystemExit: for any other, with 128 and its number.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
