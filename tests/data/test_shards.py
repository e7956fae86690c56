"""Corpora as tars: the same utterances and the same sound, from a disk or from a web server that breaks off."""

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_audio.cli import main
from tiny_audio.data import remote_files
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.remote_files import fetch_url
from tiny_audio.data.shard_writer import write_shards
from tiny_audio.data.shards import read_source
from tiny_audio.errors import AudioError, DatasetError, ManifestError


def sound_of(number: int, duration: float) -> np.ndarray:
    return np.random.default_rng(number).normal(0, 0.1, round(duration * 16_000))


@pytest.fixture
def corpus(tmp_path: Path) -> list[Utterance]:
    """Eight recordings of their own, and one that holds two utterances."""
    utterances = []
    for number in range(8):
        audio = tmp_path / f"{number}.{'flac' if number % 2 else 'wav'}"
        soundfile.write(audio, sound_of(number, 0.3), 16_000)
        utterances.append(
            Utterance(
                id=f"café/u.{number}",
                audio=audio,
                duration=0.3,
                text=f"words {number}",
                speaker="ann",
                language="en",
                extra={"snr": number},
            )
        )
    soundfile.write(tmp_path / "long.wav", sound_of(8, 2.0), 16_000)
    long = Utterance(id="first", audio=tmp_path / "long.wav", duration=0.5, text="one")
    return [*utterances, long, replace(long, id="second", start=0.7, text="")]


def described(utterances: list[Utterance]) -> list[tuple]:
    return [(one.id, one.duration, one.text, one.speaker, one.language, one.extra) for one in utterances]


def sounds(utterances: list[Utterance]) -> list[np.ndarray]:
    return [load_waveform(one) for one in utterances]


def test_shards_and_their_manifest_hold_the_same_utterances_and_the_same_sound(tmp_path: Path, corpus):
    assert write_shards(corpus, tmp_path / "out", shard_bytes=25_000) == []
    shards = sorted((tmp_path / "out").glob("shard-*.tar"))
    assert len(shards) > 2
    pattern = str(tmp_path / "out" / f"shard-{{000000..{len(shards) - 1:06d}}}.tar")
    for source in ("shards.json", "manifest.jsonl", "shard-*.tar", pattern):
        found = read_source(str(tmp_path / "out" / source))
        assert described(found) == described(corpus)
        for one, other in zip(sounds(found), sounds(corpus), strict=True):
            assert np.abs(one - other).max() < 2 / 32768
    assert [one.audio.suffix for one in found] == [".wav", ".flac"] * 4 + [".flac"] * 2
    assert not list((tmp_path / "out").glob(".*"))


def test_the_same_corpus_makes_the_same_bytes(tmp_path: Path, corpus):
    for name in ("a", "b"):
        write_shards(corpus, tmp_path / name, shard_bytes=25_000)
    assert (tmp_path / "a/shards.json").read_text() == (tmp_path / "b/shards.json").read_text()
    for row in json.loads((tmp_path / "a/shards.json").read_text())["shards"]:
        data = (tmp_path / "a" / row["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path, corpus, capsys):
    corpus[1].audio.write_bytes(b"no audio")
    write_manifest(tmp_path / "all.jsonl", corpus)
    command = ["data", "shard", str(tmp_path / "all.jsonl"), "-o", str(tmp_path / "out"), "--shard-size", "0.025M"]
    assert main([*command, "--quiet"]) == 1
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'shards.json'}\n"
    (left_out,) = map(json.loads, (tmp_path / "out/left-out.jsonl").read_text().splitlines())
    assert left_out["id"] == "café/u.1"
    assert len(read_manifest(tmp_path / "out/manifest.jsonl")) == len(corpus) - 1
    assert main([*command, "--shard-size", "many"]) == 2


def test_shards_can_be_made_of_shards(tmp_path: Path, corpus):
    write_shards(corpus, tmp_path / "a", shard_bytes=25_000)
    write_shards(read_source(str(tmp_path / "a/shards.json")), tmp_path / "b", shard_bytes=10**9)
    assert described(read_source(str(tmp_path / "b/shards.json"))) == described(corpus)


def test_names_in_a_tar_lead_nowhere(tmp_path: Path):
    """Nothing is unpacked: a member may be called what it likes, and a link is no recording."""
    sound = io.BytesIO()
    soundfile.write(sound, sound_of(0, 0.3), 16_000, format="WAV")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name, data in (("../../up.wav", sound.getvalue()), ("../../up.json", b'{"text": "x", "duration": 0.3}')):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    before = sorted(path for path in tmp_path.parent.rglob("*"))
    (only,) = read_source(str(tmp_path / "evil.tar"))
    assert len(load_waveform(only)) == 4_800
    with pytest.raises(AudioError, match=r"has no member 'link\.wav'"):
        load_waveform(replace(only, audio=tmp_path / "evil.tar/link.wav"))
    assert sorted(path for path in tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none-*.tar", "no shard has such a name"),
        ("none-{0..3}.tar", r"none-0\.tar: no such file"),
        ("short.tar", "ends inside its member|cannot read"),
        ("zipped.tar", "expected a tar that is not compressed"),
        ("silent.tar", r"silent\.tar: a: no duration; `tiny-audio data import webdataset`"),
        ("shards.json", "not a list of `tiny-audio data shard`"),
    ],
)
def test_shards_that_cannot_be_read_are_one_line(tmp_path: Path, corpus, name: str, message: str):
    write_shards(corpus, tmp_path / "out", shard_bytes=10**9)
    data = (tmp_path / "out/shard-000000.tar").read_bytes()
    (tmp_path / "short.tar").write_bytes(data[: len(data) // 2])
    with tarfile.open(tmp_path / "zipped.tar", "w:gz"):
        pass
    with tarfile.open(tmp_path / "silent.tar", "w") as tar:
        tar.add(corpus[0].audio, "a.wav")
        (tmp_path / "a.txt").write_text("text")
        tar.add(tmp_path / "a.txt", "a.txt")
    (tmp_path / "shards.json").write_text("{}")
    with pytest.raises(ManifestError, match=message) as caught:
        read_source(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_shard_of_another_size_than_its_list_says_is_refused(tmp_path: Path, corpus):
    write_shards(corpus, tmp_path / "out", shard_bytes=10**9)
    with (tmp_path / "out/shard-000000.tar").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ManifestError, match=r"found \d+ bytes, expected \d+ bytes; copy it again"):
        read_source(str(tmp_path / "out/shards.json"))


def test_an_id_in_two_shards_is_refused(tmp_path: Path, corpus):
    for name in ("a", "b"):
        write_shards(corpus[:1], tmp_path / name, shard_bytes=10**9)
        (tmp_path / name / "shard-000000.tar").rename(tmp_path / f"{name}.tar")
    with pytest.raises(ManifestError, match="occurs twice"):
        read_source(str(tmp_path / "*.tar"))


# From a web server


class Server(ThreadingHTTPServer):
    """Files of a folder, with ranges; the first answers of each file break off after some bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.breaks: dict[str, int] = {}
        self.requests: list[tuple[str, str]] = []
        self.version = "1"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip("/"), self.headers.get("Range", "")
        self.server.requests.append((name, wanted))
        path = self.server.folder / name
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        is_same = self.headers.get("If-Range") == f'"{self.server.version}"'
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and is_same else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{self.server.version}"')
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.server.breaks.get(name, 0) > 0:
            self.server.breaks[name] -= 1
            data = data[: start + (len(data) - start) // 2]
        self.wfile.write(data[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, corpus, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("TINY_AUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_files, "_PAUSE", 0.01)
    write_shards(corpus, tmp_path / "www", shard_bytes=25_000)
    server = Server(tmp_path / "www")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_remote_shards_are_fetched_once_and_hold_the_same(server: Server, corpus):
    for source in (
        f"{server.url}/shards.json",
        f"{server.url}/shards.json",
        f"{server.url}/shard-{{000000..000002}}.tar",
    ):
        found = read_source(source)
        assert described(found)[:5] == described(corpus)[:5]
        assert np.array_equal(load_waveform(found[3]), load_waveform(corpus[3]))
    names = [name for name, _ in server.requests]
    assert len(names) == len(set(names))


def test_a_broken_download_goes_on_where_it_stopped(server: Server):
    server.breaks["shard-000000.tar"] = 2
    data = (server.folder / "shard-000000.tar").read_bytes()
    assert fetch_url(f"{server.url}/shard-000000.tar").read_bytes() == data
    ranges = [int(wanted[6:-1]) if wanted else 0 for _, wanted in server.requests]
    assert ranges == [0, len(data) // 2, len(data) // 2 + (len(data) - len(data) // 2) // 2]


def test_a_file_that_has_changed_meanwhile_is_fetched_anew(server: Server):
    path = server.folder / "shard-000000.tar"
    server.breaks[path.name] = 99
    with pytest.raises(DatasetError, match="cannot fetch"):
        fetch_url(f"{server.url}/{path.name}")
    server.breaks.clear()
    server.version = "2"
    path.write_bytes(b"another file")
    assert fetch_url(f"{server.url}/{path.name}").read_bytes() == b"another file"


def test_bytes_that_the_list_does_not_know_are_not_kept(server: Server):
    path = server.folder / "shard-000001.tar"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="other bytes than its list says: SHA-256"):
        read_source(f"{server.url}/shards.json")
    data[-1] ^= 1
    path.write_bytes(data)
    assert read_source(f"{server.url}/shards.json")


def test_several_at_once_fetch_a_file_once(server: Server):
    url = f"{server.url}/shard-000000.tar"
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch_url, [url] * 4))
    assert len(set(paths)) == 1
    assert len(server.requests) == 1


def test_what_the_server_does_not_have_is_one_line(server: Server):
    with pytest.raises(DatasetError, match=r"cannot fetch '.*none\.tar': HTTP 404") as caught:
        read_source(f"{server.url}/none.tar")
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1
    with pytest.raises(ManifestError, match=r"expected the address of shards"):
        read_source(f"{server.url}/manifest.jsonl")
