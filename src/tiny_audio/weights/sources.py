"""Two plain sources of a weights file: a path, and the model hub."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tiny_audio.errors import WeightsError

HUB_TIMEOUT = 5.0
"""Seconds to wait for the hub's first answer; many machines cannot reach it, and the package registry comes next."""


@dataclass(frozen=True, kw_only=True)
class LocalPath:
    """A file on this machine."""

    path: Path

    def __str__(self) -> str:
        return f"'{self.path}'"

    def deliver(self, part: Path) -> None:
        """Copies it to `part`.

        Raises:
            WeightsError: it cannot be read.
        """
        try:
            shutil.copyfile(self.path, part)
        except OSError as error:
            raise WeightsError(f"cannot copy '{self.path}': {error.strerror or error}") from None


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A file in a repository of the model hub. Its SHA-256 is checked, so no revision is needed."""

    repo: str
    filename: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"the hub ({self.repo})"

    def deliver(self, part: Path) -> None:
        """Downloads it to `part`. Fails within seconds where the hub is out of reach.

        Raises:
            WeightsError: the hub is switched off (`HF_HUB_OFFLINE`), out of reach, or does not have the file.
        """
        import httpx2
        from huggingface_hub import constants, hf_hub_url

        if constants.HF_HUB_OFFLINE:
            raise WeightsError("the hub is switched off (HF_HUB_OFFLINE)")
        url = hf_hub_url(self.repo, self.filename, revision=self.revision)
        try:
            # A plain request, not hf_hub_download: that one retries for a minute where the host does not resolve.
            with httpx2.stream("GET", url, timeout=HUB_TIMEOUT, follow_redirects=True) as response:
                response.raise_for_status()
                total = int(response.headers.get("content-length", 0))
                print(f"tiny-audio: downloading {self.repo}/{self.filename}", file=sys.stderr)  # noqa: T201
                with (
                    part.open("wb") as file,
                    tqdm(total=total, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar,
                ):
                    for chunk in response.iter_bytes():
                        bar.update(file.write(chunk))
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise WeightsError(f"the hub did not deliver '{self.repo}/{self.filename}' ({reason})") from None
