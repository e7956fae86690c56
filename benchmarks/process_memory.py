"""The most memory that a process has held."""

import re
import resource
import sys
from pathlib import Path

_LINUX_STATUS = Path("/proc/self/status")


def peak_megabytes() -> float:
    """Peak resident memory of this process, 10^6 bytes.

    Linux's `ru_maxrss` is inherited: a small process that a large one has started reports the large one's. `VmHWM` is
    the process's own.
    """
    if _LINUX_STATUS.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", _LINUX_STATUS.read_text())):
        return int(found[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
