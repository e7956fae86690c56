"""The server as a process of its own: how it ends, and that nothing is lost then."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from live_server import tone_wav

MAIN = textwrap.dedent("""
    import signal, sys, time
    from live_server import ENERGY, SlowModel
    from tiny_audio.cli import main, serve
    from tiny_audio.inference.transcriber import Transcriber
    from tiny_audio.serving.engine import Engine
    from tiny_audio.serving.http_server import HttpServer

    def load(args, metrics):
        return Engine(Transcriber(SlowModel(seconds=1.5), vad=ENERGY), num_lanes=2, on_batch=metrics.count_batch)

    if sys.argv[1:] == ["--slow-start"]:
        del sys.argv[1:]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what runs in the background
        run = HttpServer.run

        def run_later(self, sockets=None):
            time.sleep(1)
            run(self, sockets)

        HttpServer.run = run_later
    serve._load_engine = load
    sys.exit(main(["serve", "--port", "0", *sys.argv[1:]]))
""")
Start = Callable[..., tuple["subprocess.Popen[str]", httpx.Client]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `tiny-audio serve` with a slow model; its client too."""
    processes: list[subprocess.Popen[str]] = []

    def run(*words: str) -> tuple["subprocess.Popen[str]", httpx.Client]:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *words], stderr=subprocess.PIPE, text=True, env=environment
        )
        processes.append(process)
        assert process.stderr
        line = next(line for line in process.stderr if "serving" in line)
        return process, httpx.Client(base_url=line.split(" on ")[1].strip(), timeout=30)

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def test_sigterm_loses_no_accepted_request_and_ends_with_0(start: Start) -> None:
    process, client = start()

    def ask(hertz: int) -> str:
        files = {"file": ("a.wav", tone_wav(hertz))}
        return str(client.post("/audio/transcriptions", files=files).json()["text"])

    def num_accepted() -> float:
        """Inside or answered; the server counts an answer after the request has left, so none is counted twice."""
        lines = httpx.get(client.base_url.join("/metrics"), timeout=30).text.splitlines()
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("tiny_audio_requests_inside ")
            or (line.startswith("tiny_audio_requests_total{") and "transcriptions" in line)
        )

    pitches = range(100, 1700, 100)
    with ThreadPoolExecutor(len(pitches)) as pool:
        answers = [pool.submit(ask, hertz) for hertz in pitches]
        deadline = time.monotonic() + 60
        while num_accepted() < len(answers):
            done = [answer.result() for answer in answers if answer.done()]  # or its error
            assert time.monotonic() < deadline, f"{num_accepted()} of {len(answers)} accepted, {len(done)} answered"
            time.sleep(0.02)
        assert not all(answer.done() for answer in answers)
        process.send_signal(signal.SIGTERM)
        assert [answer.result() for answer in answers] == [f"tone{hertz}" for hertz in pitches]

    assert process.wait(20) == 0
    with pytest.raises(httpx.TransportError):
        client.get("/models")


def test_what_is_said_to_be_served_can_be_reached_at_once(start: Start) -> None:
    _, client = start()

    assert client.get("/models").status_code == 200


@pytest.mark.parametrize("words", [(), ("--slow-start",)], ids=["running", "starting"])
def test_ctrl_c_ends_with_130_and_without_a_traceback(start: Start, words: tuple[str, ...]) -> None:
    process, _ = start(*words)

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert process.stderr
    assert "Traceback" not in process.stderr.read()
