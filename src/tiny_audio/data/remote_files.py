"""Files of a web server, fetched once into the cache and continued where a connection broke."""

import hashlib
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tqdm import tqdm

from tiny_audio.errors import DatasetError, WeightsError
from tiny_audio.types import Seconds
from tiny_audio.weights.store import cache_folder, hash_file, locked

_TIMEOUT: Seconds = 30.0
_ATTEMPTS = 4
_PAUSE: Seconds = 1.0
"""Before the second attempt; twice as long before each further one."""


def is_url(text: str) -> bool:
    """Whether it names a file of a web server."""
    return text.startswith(("http://", "https://"))


def fetch_url(url: str, *, size: int | None = None, sha256: str | None = None) -> Path:
    """The file in the cache, whole; of several processes one fetches it, and the others wait.

    Args:
        url: of it.
        size: bytes that it must have.
        sha256: that it must have; checked when it comes, not each time it is opened.

    Raises:
        DatasetError: it cannot be had, or has other bytes.
    """
    name = Path(unquote(urlsplit(url).path)).name or "file"
    path = cache_folder() / "remote" / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    try:
        with locked(path):
            if path.is_file() and size in (None, path.stat().st_size):
                return path
            part = path.with_name(f".{name}.partial")
            _download(url, part)
            found = part.stat().st_size
            problem = f"{found} bytes, expected {size}" if size not in (None, found) else ""
            if not problem and sha256 is not None and (digest := hash_file(part)) != sha256:
                problem = f"SHA-256 {digest}, expected {sha256}"
            if problem:
                part.unlink()
                raise DatasetError(f"'{url}' has other bytes than its list says: {problem}; nothing was kept")
            part.replace(path)
    except WeightsError as error:
        raise DatasetError(str(error)) from None
    except OSError as error:
        raise DatasetError(f"cannot store '{url}' in '{path.parent}': {error.strerror or error}") from None
    return path


def _download(url: str, part: Path) -> None:
    """Fetch what is missing of a file.

    Raises:
        DatasetError: the server does not deliver it.
    """
    import httpx2

    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            if _continue(url, part):
                return
            reason = "the connection broke"
        except httpx2.HTTPStatusError as error:
            reason = f"HTTP {error.response.status_code}"
            if error.response.status_code < 500:  # the server has made up its mind
                break
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise DatasetError(f"cannot fetch '{url}': {reason}")


def _continue(url: str, part: Path) -> bool:
    """Append what follows the bytes that are there, if the server's file is still the same; whether it is whole."""
    import httpx2

    etag_path = part.with_name(f"{part.name}.etag")
    start = part.stat().st_size if part.is_file() and etag_path.is_file() else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": etag_path.read_text(encoding="utf-8")}
    with httpx2.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as response:
        if response.status_code == 416:  # nothing follows: it was whole, or the file is another one
            etag_path.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
            return False
        response.raise_for_status()
        start = start if response.status_code == 206 else 0
        if etag := response.headers.get("etag"):
            etag_path.write_text(etag, encoding="utf-8")
        length = response.headers.get("content-length")
        total = start + int(length) if length is not None else None
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(
                total=total,
                initial=start,
                unit="B",
                unit_scale=True,
                desc=part.name[1:-8],
                file=sys.stderr,
                disable=not sys.stderr.isatty(),
            ) as bar,
        ):
            for chunk in response.iter_bytes():
                bar.update(file.write(chunk))
    if total is None or part.stat().st_size == total:
        etag_path.unlink(missing_ok=True)
        return True
    return False
