"""Requests that nobody should send: each is refused with a reason, and nothing is left of it."""

import json
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

from live_server import Server, SlowModel, tone_wav, tones, wav
from tiny_audio.serving import http_server, middleware

MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
def small(serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with small limits, on which no request leaves a file, an open file or a taken place behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(middleware, "_DRAIN_TIMEOUT", 0.5)
    server = serve(max_upload_mb=0.5, upload_timeout=1.0, engine_options={"max_duration": 60.0})
    yield server
    server.wait_until(lambda: server.service.requests.num_inside == 0)
    assert server.post(tone_wav()).json()["text"] == "tone440"
    server.wait_until(lambda: not _open_files(tmp_path))
    assert list(tmp_path.iterdir()) == []


def _open_files(folder: Path) -> list[str]:
    names = []
    for link in Path("/proc/self/fd").iterdir() if Path("/proc").exists() else ():
        with suppress(OSError):  # it was closed meanwhile
            names.append(str(link.readlink()))
    return [name for name in names if str(folder) in name]


def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(data) if size is None else size) + data


def fake_wav(*, data_size: int, rate: int = 16_000, channels: int = 1, data: bytes = bytes(32_000)) -> bytes:
    """A wav whose header says what one likes."""
    form = struct.pack("<HHIIHH", 1, channels, rate, min(rate * 2 * channels, 2**32 - 1), min(2 * channels, 65535), 16)
    return b"RIFF" + struct.pack("<I", 2**31) + b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", data, data_size)


NASTY = {
    "no bytes": b"",
    "one byte": b"R",
    "text called wav": b"these are words\n" * 200,
    "html called mp3": b"<!doctype html><html><body>404</body></html>",
    "noise": np.random.default_rng(0).bytes(50_000),
    "hours of flac": wav(np.zeros(10 * 60 * 48_000), 48_000, format="FLAC"),
    "rate of zero": fake_wav(data_size=32_000, rate=0),
    "rate of 4 GHz": fake_wav(data_size=32_000, rate=2**32 - 1),
    "no channels": fake_wav(data_size=32_000, channels=0),
    "65535 channels": fake_wav(data_size=32_000, channels=65_535),
    "cut flac": wav(np.random.default_rng(0).uniform(-1, 1, 16_000), format="FLAC")[:60],
    "cut ogg": wav(np.random.default_rng(0).uniform(-1, 1, 16_000), format="OGG", subtype="VORBIS")[:90],
    "mp4 without an index": b"\x00\x00\x00\x20ftypisom" + bytes(5_000),
    "webm without content": b"\x1aE\xdf\xa3" + bytes(5_000),
    "a zip": b"PK\x03\x04" + bytes(5_000),
    "a pickle": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("name", NASTY)
def test_nasty_files(small: Server, name: str) -> None:
    response = small.post(NASTY[name])

    assert 400 <= response.status_code < 500, response.text
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert str(Path.home()) not in response.text


@pytest.mark.parametrize("name", ["no samples", "five samples", "silence"])
def test_where_nothing_is_said_the_text_is_empty(small: Server, name: str) -> None:
    waveform = {"no samples": np.zeros(0), "five samples": np.ones(5) / 2, "silence": np.zeros(50_000)}[name]

    assert small.post(wav(waveform)).json()["text"] == ""


@pytest.mark.parametrize("data_size", [2**31 - 1, 2**31, 2**32 - 1])
def test_a_header_that_promises_gigabytes(small: Server, data_size: int) -> None:
    """Programs that write to a pipe promise them too, so what is there is heard; memory is taken for no more."""
    tracemalloc.start()
    response = small.post(fake_wav(data_size=data_size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert response.status_code in (200, 413)
    assert peak < 100e6


def test_nothing_that_a_recording_names_is_opened(small: Server, tmp_path: Path) -> None:
    """Trap 42: playlists and references lead nowhere, be it to the network or to a file."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.3)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.wav"
    secret = Path(__file__).resolve().parents[2] / "examples" / "LJ001-0009.flac"
    playlists = [
        f"#EXTM3U\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"ffconcat version 1.0\nfile {url}\n",
        f"<?xml version='1.0'?><MPD><BaseURL>{url}</BaseURL></MPD>",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio {listener.getsockname()[1]} RTP/AVP 0\n",
        f"[playlist]\nFile1={url}\n",
        url,
        f"concat:{secret}|{secret}",
        f"@{secret}",
    ]

    for playlist in playlists:
        assert small.post(playlist.encode()).status_code == 415
    for name in (str(secret), f"file://{secret}", url, "-", "../../etc/passwd", "|id", "x\x00y", "CON", "a" * 5000):
        files = {"file": (name, b"not audio")}
        assert small.post(files=files).status_code in (400, 415)
        assert small.post(None, files={"dummy": ""}, file=str(secret)).status_code == 400
    with pytest.raises(TimeoutError):
        listener.accept()
    listener.close()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"hello"),
        ({"Content-Type": "application/json"}, json.dumps({"file": "/etc/passwd"}).encode()),
        ({"Content-Type": "multipart/form-data"}, b"--x\r\n"),
        (MULTIPART, b""),
        (MULTIPART, b"no boundary in here"),
        (MULTIPART, b"--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n"),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nno end'),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n--x--\r\n'),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\nw\r\n--x--\r\n'),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\n\xff\r\n--x--\r\n'),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + bytes(1 << 17) + b"\r\n--x--\r\n"),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 200 + b"--x--\r\n"),
        ({"Content-Type": "multipart/form-data; boundary=" + "x" * 5000}, b"--x\r\n"),
        ({"Content-Type": "multipart/form-data; boundary=\xff\xfe"}, b"--x\r\n"),
        ({"Content-Type": "multipart/form-data; boundary=x; charset=rot13"}, b"--x--\r\n"),
    ],
)
def test_forms_that_are_none(small: Server, headers: dict[str, str], body: bytes) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}

    response = small.client.post("/v1/audio/transcriptions", content=body, headers=encoded)

    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_an_endless_body(small: Server) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        while True:
            sent += 1 << 16
            yield bytes(1 << 16)

    with suppress(httpx.TransportError):  # or the server hangs up before the client looks for an answer
        response = small.client.post("/v1/audio/transcriptions", content=endless(), headers=MULTIPART)
        assert response.status_code == 413
    assert sent < 300 << 20


def test_a_body_that_comes_too_slowly(small: Server) -> None:
    """Slow loris with a body."""
    with small.connect() as connection:
        head = "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Content-Type: {MULTIPART['Content-Type']}\r\n\r\n--x".encode())
        started = time.monotonic()
        answer = connection.recv(4096)

    assert b" 408 " in answer.splitlines()[0]
    assert time.monotonic() - started < 8


def test_a_head_that_comes_too_slowly(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow loris: a letter now and then does not buy time."""
    monkeypatch.setattr(http_server, "_HEAD_TIMEOUT", 0.5)
    with server.connect() as silent, server.connect() as slow:
        slow.sendall(b"GET /health/live HTTP/1.1\r\n")
        for _ in range(8):
            time.sleep(0.1)
            try:
                slow.sendall(b"X-A: b\r\n")
            except OSError:
                break
        assert silent.recv(100) == b""
        with suppress(ConnectionError):
            assert not slow.recv(100)
        with server.connect() as honest:
            honest.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in honest.recv(4096)


@pytest.mark.parametrize(
    "request_line",
    ["GET / HTTP/1.1", "DELETE /v1/models HTTP/1.1", "PUT /v1/audio/transcriptions HTTP/1.1", "nonsense"],
)
def test_errors_of_the_framework_have_our_shape(server: Server, request_line: str) -> None:
    with server.connect() as connection:
        connection.sendall(f"{request_line}\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")

    assert int(head.split()[1]) in (400, 404, 405)
    if request_line != "nonsense":  # no request at all
        assert json.loads(body)["error"]["message"]


def test_health_answers_while_the_model_works(serve: Callable[..., Server]) -> None:
    """Trap 41: nothing blocks the event loop."""
    model = SlowModel()
    model.go.clear()
    server = serve(model)
    waiting = [threading.Thread(target=server.post, args=(tone_wav(),)) for _ in range(8)]
    for thread in waiting:
        thread.start()
    server.wait_until(lambda: server.service.requests.num_inside == 8)

    assert server.client.get("/health/ready").status_code == 200
    assert model.batches == []  # it still waits

    model.go.set()
    for thread in waiting:
        thread.join()


def test_a_client_that_leaves_stops_the_work(serve: Callable[..., Server]) -> None:
    """Trap 43."""
    model = SlowModel()
    server = serve(model)
    recording = wav(tones(*[440.0] * 30, pause=2.1))
    for fields in ({}, {"stream": "true"}):
        model.go.clear()
        with pytest.raises(Exception, match="timed out"):
            server.client.post("/v1/audio/transcriptions", files={"file": ("a", recording)}, data=fields, timeout=0.7)
        model.go.set()
        server.wait_until(lambda: server.service.requests.num_inside == 0)

    assert 2 <= sum(len(batch) for batch in model.batches) < 10  # of 60
    assert server.post(tone_wav()).json()["text"] == "tone440"


def test_nobody_logs_what_was_said(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Trap 44: transcripts and file names are nobody's business."""
    caplog.set_level("DEBUG")
    server.post(files={"file": ("private-name.wav", tone_wav())}, prompt="a private word")
    server.post(files={"file": ("private-name.wav", b"no audio")})
    metrics = server.client.get("/metrics").text

    for text in (caplog.text, *capfd.readouterr(), metrics):
        assert not any(word in text for word in ("tone440", "private"))
    assert 'tiny_audio_requests_total{route="/v1/audio/transcriptions",status="200"} 1.0' in metrics
    assert "tiny_audio_audio_seconds_total 1.0" in metrics


def test_other_sites_are_kept_out_unless_they_are_named(serve: Callable[..., Server]) -> None:
    def allowed(server: Server, origin: str) -> str | None:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return server.client.options("/v1/audio/transcriptions", headers=headers).headers.get(
            "access-control-allow-origin"
        )

    assert allowed(serve(), "https://a.example") is None
    named = serve(cors_origins=("https://a.example",), api_key="secret")
    assert allowed(named, "https://a.example") == "https://a.example"
    assert allowed(named, "https://b.example") is None


def test_there_is_no_page_that_loads_from_elsewhere(server: Server) -> None:
    assert [server.client.get(path).status_code for path in ("/docs", "/redoc", "/")] == [404] * 3
    assert "/v1/audio/transcriptions" in server.client.get("/openapi.json").json()["paths"]


def test_what_fails_unforeseen_tells_the_client_nothing(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(SlowModel):
        def transcribe_waveforms(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise RuntimeError("/secret/path is gone")

    response = serve(Broken()).post(tone_wav())

    assert (response.status_code, response.json()["error"]["message"]) == (500, "the server failed; its log says why")
    assert "secret" in caplog.text
