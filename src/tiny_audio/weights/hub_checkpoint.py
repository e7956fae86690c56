"""Checkpoints that somebody published: `user/name[@revision]` of the hub, of which only data is fetched, and verified.

Code is never fetched, pickles are never read, and the cache holds a checkpoint only when every byte of it was right:

    hub/USER/NAME/COMMIT/         the checkpoint
    hub/USER/NAME/refs/REVISION   the commit that a branch or tag was, to go on without a network
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tiny_audio.atomic import write_text
from tiny_audio.errors import WeightsError
from tiny_audio.weights.pretrained_folder import CONFIG_FILE, SINGLE_FILE, read_config
from tiny_audio.weights.sources import HUB_TIMEOUT
from tiny_audio.weights.store import cache_folder, hash_file, locked

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

PARTS = ("encoder", "language_model")
"""Folders of a checkpoint that brings its frozen weights along."""
_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DATA = re.compile(
    r"(config|units|ngram|preprocessor_config)\.json|model\.safetensors|ngram\.arpa\.gz"
    rf"|({'|'.join(PARTS)})/[\w-][\w.-]*\.(json|safetensors|txt|jinja)"
)
"""All that is fetched."""
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy"}
_RUNNABLE = {".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ps1", ".pyc", ".pyd", ".whl", ".ipynb"}


def is_hub_name(name: str | Path) -> bool:
    """Whether it could name a repository; a folder of that name comes first."""
    return _NAME.fullmatch(str(name)) is not None


def resolve_checkpoint(name: str | Path) -> Path:
    """The folder of that name, or else that of the hub repository of that name.

    Raises:
        WeightsError: see `fetch_checkpoint`.
    """
    folder = Path(name)
    return folder if folder.is_dir() or not is_hub_name(name) else fetch_checkpoint(str(name))


@lru_cache
def fetch_checkpoint(name: str) -> Path:
    """The local folder of `user/name[@revision]`: commit, branch or tag, by default `main`.

    The hub is asked which commit that is, once a process; without a network it is the one of the last time.

    Raises:
        WeightsError: the hub does not deliver it, or it is refused: pickles, unexpected code, wrong bytes.
    """
    match = _NAME.fullmatch(name)
    assert match is not None
    repo, revision = match[1], match[2] or "main"
    home = cache_folder() / "hub" / repo
    if _COMMIT.fullmatch(revision) and (home / revision).is_dir():
        return home / revision
    ref = home / "refs" / revision.replace("/", "%2F")
    info = _ask(repo, revision)
    if isinstance(info, str):
        known = home / ref.read_text(encoding="utf-8") if ref.is_file() else home
        if known != home and known.is_dir():
            return known
        raise WeightsError(f"no folder '{name}', and the hub did not answer ({info}); expected a folder, or a network")
    files = {file.rfilename: file for file in info.siblings or ()}
    _refuse_what_runs(repo, files)
    folder = home / str(info.sha)
    with locked(folder):
        if not folder.is_dir():
            _download(repo, folder, [file for file in files.values() if _DATA.fullmatch(file.rfilename)], files)
    write_text(ref, folder.name)
    return folder


def _ask(repo: str, revision: str) -> "ModelInfo | str":
    """What the hub says about a revision, or why it says nothing."""
    import httpx2
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.is_offline_mode():
        return "it is switched off by HF_HUB_OFFLINE"
    try:
        return HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=HUB_TIMEOUT)
    except RevisionNotFoundError:
        raise WeightsError(f"'{repo}' has no revision '{revision}'; expected a commit, branch or tag of it") from None
    except GatedRepoError:
        raise WeightsError(f"'{repo}' asks for consent; give it on its page, and run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise WeightsError(
            f"no folder '{repo}', and the hub shows no such repository; expected the folder of a checkpoint, or "
            "user/name[@revision] (a private one after `hf auth login`)"
        ) from None
    except (HfHubHTTPError, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        return _reason(error)


def _download(repo: str, folder: Path, wanted: "list[RepoSibling]", files: "dict[str, RepoSibling]") -> None:
    """Fetch into a folder beside, check, and only then give it its name; an interrupted one is continued."""
    import httpx2
    from huggingface_hub import snapshot_download

    if missing := {CONFIG_FILE, SINGLE_FILE} - files.keys():
        raise WeightsError(f"'{repo}' has no {', '.join(sorted(missing))}; expected a checkpoint of tiny-audio")
    part = folder.with_name(f"{folder.name}.partial")
    try:
        snapshot_download(
            repo, revision=folder.name, local_dir=part, allow_patterns=[file.rfilename for file in wanted]
        )
        for file in wanted:
            _verify(repo, part / file.rfilename, file)
        _check_config(repo, part, files)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            shutil.rmtree(part, ignore_errors=True)  # wrong bytes are not continued
            raise
        raise WeightsError(f"the hub did not deliver '{repo}' ({_reason(error)}); the same call goes on") from None
    shutil.rmtree(part / ".cache", ignore_errors=True)
    part.replace(folder)


def _verify(repo: str, path: Path, stated: "RepoSibling") -> None:
    """The bytes have the hash that the hub's listing of the commit states: SHA-256 of LFS, else git's own."""
    if stated.lfs is not None:
        found, expected = hash_file(path), stated.lfs.sha256
    else:
        content = path.read_bytes()
        blob = b"blob %d\0" % len(content) + content
        found, expected = hashlib.sha1(blob, usedforsecurity=False).hexdigest(), str(stated.blob_id)
    if found != expected:
        raise WeightsError(
            f"'{repo}/{stated.rfilename}' arrived with hash {found[:12]}, the hub states {expected[:12]}; "
            "it was changed on its way and is not used"
        )


def _refuse_what_runs(repo: str, names: Iterable[str]) -> None:
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in _PICKLED:
            raise WeightsError(f"'{repo}' holds pickles ({name}), which can run code; expected safetensors alone")
        if suffix in _RUNNABLE or (suffix == ".py" and "/" in name):
            raise WeightsError(f"'{repo}' holds unexpected code ({name}); expected what `tiny-audio push` sends")


def _check_config(repo: str, folder: Path, names: Iterable[str]) -> None:
    """Code stands only beside a configuration that announces it; frozen parts do not come from somebody's disk."""
    values = read_config(folder)
    code = [name for name in names if name.endswith(".py")]
    if code and not values.get("auto_map"):
        raise WeightsError(f"'{repo}' holds unexpected code ({code[0]}), which its {CONFIG_FILE} does not announce")
    settings: Any = values.get("tiny_audio", values)
    for part in ("encoder", "llm"):
        section = settings.get(part) if isinstance(settings, dict) else None
        source = section.get("source") if isinstance(section, dict) else None
        if not isinstance(section, dict) or source is None or source in {f"./{name}" for name in PARTS}:
            continue
        is_published = isinstance(source, str) and is_hub_name(source) and section.get("sha256")
        if not is_published and re.fullmatch(r"\w[\w.-]*", str(source)) is None:
            raise WeightsError(
                f"'{repo}' takes its {part} from {json.dumps(source)}; expected a part of its own, a name "
                "that tiny-audio knows, or a hub id with its SHA-256"
            )


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
