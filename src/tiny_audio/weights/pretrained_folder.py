"""Checkpoints in the style of `transformers`: a folder with `config.json` and safetensors, on disk or on the hub.

Pickled weights (`pytorch_model.bin`) are never read: loading a pickle runs code.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from tiny_audio.errors import WeightsError
from tiny_audio.weights.sources import HUB_TIMEOUT
from tiny_audio.weights.store import hash_file

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_FILE, SINGLE_FILE, INDEX_FILE = "config.json", "model.safetensors", "model.safetensors.index.json"
WEIGHT_PATTERNS = (CONFIG_FILE, SINGLE_FILE, INDEX_FILE, "model-*-of-*.safetensors")
"""What every checkpoint needs. Not `*.safetensors`: some repositories hold the same weights in several formats."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve_folder(source: str, *, revision: str | None = None, patterns: Sequence[str] = ()) -> Path:
    """The local folder of a checkpoint: `config.json` and all weight files are there.

    A snapshot in the hub's cache is used as it lies there, without a network; the hub is asked only for what is
    missing.

    Args:
        source: a folder, or a hub id such as `facebook/hubert-base-ls960`.
        revision: commit, branch or tag of a hub id.
        patterns: files to fetch besides `WEIGHT_PATTERNS`, as `fnmatch` takes them.

    Raises:
        WeightsError: no such folder, the hub does not deliver, or the checkpoint is incomplete.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise WeightsError(f"'{source}' is a folder and has no revision '{revision}'; leave the revision out")
        weight_files(folder)
        return folder
    if not _HUB_ID.fullmatch(source):
        raise WeightsError(f"no folder '{source}'; expected a folder or a hub id such as 'facebook/hubert-base-ls960'")
    folder = _snapshot(source, revision, [*WEIGHT_PATTERNS, *patterns])
    weight_files(folder)
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, sorted by name.

    Raises:
        WeightsError: `config.json` or a weights file is missing.
    """
    names = {SINGLE_FILE}
    if not (folder / SINGLE_FILE).is_file() and (folder / INDEX_FILE).is_file():
        weight_map = read_config(folder, INDEX_FILE).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise WeightsError(f"'{folder / INDEX_FILE}' names no weights; copy or download it again")
        # Of a path only the name: an index may not point out of its folder.
        names = {Path(str(name)).name for name in weight_map.values()}
    if missing := sorted(name for name in {CONFIG_FILE, *names} if not (folder / name).is_file()):
        has_pickle = any(folder.glob("pytorch_model*.bin"))
        hint = "pickled weights are never loaded; convert them" if has_pickle else "expected a complete checkpoint"
        raise WeightsError(f"'{folder}' has no {', '.join(missing[:3])}; {hint} (config.json and safetensors)")
    return [folder / name for name in sorted(names)]


def fingerprint(folder: Path) -> str:
    """SHA-256 of the weights: of the file itself, or of what `sha256sum` prints for several, in order of name.

    Raises:
        WeightsError: the checkpoint is incomplete.
    """
    hashes = {file.name: hash_file(file) for file in weight_files(folder)}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def read_config(folder: Path, name: str = CONFIG_FILE) -> dict[str, Any]:
    """A JSON file of a checkpoint.

    Raises:
        WeightsError: it is not there or holds no JSON object.
    """
    path = folder / name
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read '{path}': {error}; expected a JSON object") from None
    if not isinstance(values, dict):
        raise WeightsError(f"'{path}' holds no JSON object; copy or download it again")
    return values


def read_tensors(folder: Path, rename: Callable[[str], str | None] = str) -> dict[str, "Tensor"]:
    """The tensors of a checkpoint, on the CPU and in the type they are stored in.

    Args:
        folder: the checkpoint.
        rename: own name of a stored tensor; None leaves it on disk.

    Raises:
        WeightsError: the checkpoint is incomplete or damaged.
    """
    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                names = {name: own for name in file.keys() if (own := rename(name)) is not None}  # noqa: SIM118
                tensors |= {own: file.get_tensor(name) for name, own in names.items()}
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"cannot read '{path}': {error}; copy or download it again") from None
    return tensors


def _snapshot(repo: str, revision: str | None, patterns: list[str]) -> Path:
    """The snapshot of a hub repository in the hub's own cache; downloads what is missing."""
    import httpx2
    from huggingface_hub import HfApi, constants, snapshot_download

    if cached := _cached_snapshot(repo, revision, patterns):
        return cached
    name = f"'{repo}'" if revision is None else f"'{repo}' at revision '{revision}'"
    if constants.is_offline_mode():
        raise WeightsError(f"{name} is not in the hub's cache, and the hub is switched off (HF_HUB_OFFLINE)")
    try:
        # Asked first because snapshot_download tries again for half a minute where the host does not resolve.
        info = HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT)
        if {file.rfilename for file in info.siblings or ()} & {SINGLE_FILE, INDEX_FILE}:
            return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"the hub did not deliver {name} ({reason}); give a folder that holds config.json and safetensors"
        ) from None
    raise WeightsError(
        f"{name} holds no {SINGLE_FILE}, and pickled weights are never loaded; "
        "give the revision of its conversion (often 'refs/pr/1'), or a folder with converted weights"
    )


def _cached_snapshot(repo: str, revision: str | None, patterns: list[str]) -> Path | None:
    """The snapshot in the hub's cache, if it is complete."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError, WeightsError):
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=True))
        weight_files(folder)
        return folder
    return None
