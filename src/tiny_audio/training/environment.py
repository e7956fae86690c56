"""What a run was trained with and on: versions, commit, device. A model card repeats it."""

import platform
import subprocess
from pathlib import Path

import torch

from tiny_audio import __version__

_PACKAGE = Path(__file__).resolve().parents[1]
_TIMEOUT = 10.0  # s


def describe_environment() -> dict[str, object]:
    """Versions, commit and hardware of this process, as JSON values; what cannot be found out is left out."""
    found: dict[str, object | None] = {
        "tiny_audio": __version__,
        "commit": _commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device_name(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    return {name: value for name, value in found.items() if value}


def device_name(device: torch.device) -> str:
    """What the maker calls the GPU or CPU; "" where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    """Of the checkout that this code lies in, "-dirty" behind it if files were changed; None for an installed wheel."""
    if not (_PACKAGE.parents[1] / ".git").exists():
        return None
    command = ["git", "-C", str(_PACKAGE), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
