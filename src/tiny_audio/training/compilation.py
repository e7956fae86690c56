"""Making the trained parts faster with `torch.compile`."""

import torch
from torch.nn import functional as F

from tiny_audio.errors import ConfigError
from tiny_audio.training.objective import Objective


def compile_parts(objective: Objective) -> None:
    """Compile what is worth it, in place: each part when it is first called, and again for a new kind of shape.

    Raises:
        ConfigError: there is no working compiler on this machine.
    """
    try:
        torch.compile(F.silu)(torch.zeros(2, device=objective.device))
    except Exception as error:  # of many kinds, by what is missing
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            [f"compile is true, but torch.compile does not work here: {reason}; set compile=false"]
        ) from error
    for part in objective.compiled_parts():
        part.compile()
