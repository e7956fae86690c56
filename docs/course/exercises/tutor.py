"""Compares a student's functions with the solutions, and lets the experiment go on with the right result.

tutor = Tutor(__file__)

@tutor.task
def double(number): ...

double(4)        # 8, whatever the student has written
tutor.report()   # "double: open", "double: solved" or what is wrong
"""

import functools
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Tutor:
    """Finds the solutions of an exercise in `solutions/`, under the same file name.

    Args:
        exercise: the exercise's `__file__`.
    """

    def __init__(self, exercise: str) -> None:
        path = Path(exercise)
        self._solutions = runpy.run_path(str(path.parent / "solutions" / path.name))
        self.states: dict[str, str] = {}
        """Of each task: open, solved, or what is wrong with it."""

    def task(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that the student writes; called, it judges theirs and gives the solution's result."""
        name = function.__name__
        solution = self._solutions[name]
        self.states[name] = "open"

        @functools.wraps(function)
        def judged(*values: Any) -> Any:
            expected = solution(*values)
            if self.states[name] in ("open", "solved"):  # what was wrong once stays wrong
                self.states[name] = _judge(function, values, expected)
            return expected

        return judged

    def report(self) -> None:
        """Print how far the student has come."""
        solved = sum(state == "solved" for state in self.states.values())
        print(f"\nYour functions: {solved} of {len(self.states)} solved")
        for name, state in self.states.items():
            print(f"  {name}: {state}")
        if solved < len(self.states):
            print(f"What is open has used the solution; write yours in {Path(sys.argv[0]).name} and run it again.")


def _judge(function: Callable[..., Any], values: tuple[Any, ...], expected: Any) -> str:
    try:
        found = function(*values)
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    if found is None:
        return "open"
    return "solved" if _is_same(found, expected) else f"found {_short(found)}, expected {_short(expected)}"


def _is_same(found: Any, expected: Any) -> bool:
    if isinstance(expected, str | list):
        return bool(found == expected)
    try:
        left, right = (np.asarray(_plain(value), dtype=float) for value in (found, expected))
    except (TypeError, ValueError):
        return False
    return left.shape == right.shape and np.allclose(left, right, rtol=1e-3, atol=1e-5)


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape else f"{value!r:.60}"
