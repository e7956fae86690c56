"""Whether tensors fit a module: none missing, none too many, all of the right shape."""

from collections.abc import Mapping

from torch import Tensor

from tiny_audio.errors import CheckpointError

_SHOWN = 4
"""Problems that a message names; the first few tell what is wrong."""


def check_state(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, source: str) -> None:
    """Compare names and shapes.

    Args:
        found: tensors of a file.
        expected: those of the module that they are for.
        source: what the message calls the file.

    Raises:
        CheckpointError: they differ; says in what.
    """
    problems = [f"missing {name}" for name in expected.keys() - found.keys()]
    problems += [f"unexpected {name}" for name in found.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected.keys() & found.keys()
        if found[name].shape != expected[name].shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:_SHOWN]) + ("; ..." if len(problems) > _SHOWN else "")
        raise CheckpointError(f"{source} does not fit its configuration: {shown}")
