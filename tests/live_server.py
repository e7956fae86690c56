"""A server on the loopback whose model is a fake that hears tones, and recordings to send to it."""

import io
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import numpy as np
import soundfile

from fakes import FakeSpeechModel, tone
from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.audio.vad import VadOptions
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.serving.app import Service
from tiny_audio.serving.config import ServerConfig
from tiny_audio.serving.engine import Engine
from tiny_audio.serving.http_server import HttpServer, bind

ENERGY = VadOptions(kind="energy")


class SlowModel(FakeSpeechModel):
    """Takes its time, and can be held until somebody lets it go."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.go = threading.Event()
        self.go.set()
        self.hotwords: list[tuple[str, ...]] = []

    def transcribe_waveforms(self, waveforms: Any, *, hotwords: Any = ()) -> Any:
        self.hotwords.append(tuple(hotwords))
        self.go.wait(20)
        time.sleep(self.seconds)
        return super().transcribe_waveforms(waveforms)


class Server:
    """A server that runs in a thread."""

    def __init__(self, model: Any, engine_options: dict[str, Any], config: ServerConfig) -> None:
        self.model = model
        self.service = Service(Engine(Transcriber(model, vad=ENERGY), **engine_options), config)
        self.http = HttpServer(self.service)
        listening = bind("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        self.thread = threading.Thread(target=self.http.run, kwargs={"sockets": [listening]}, daemon=True)
        self.thread.start()
        while not self.http.started:
            assert self.thread.is_alive()
            time.sleep(0.005)
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def post(self, data: bytes | None = None, *, files: Any = None, **fields: Any) -> httpx.Response:
        """Send a recording."""
        files = files if data is None else {"file": ("clip.wav", data)}
        return self.client.post("/v1/audio/transcriptions", files=files, data=fields)

    def connect(self) -> socket.socket:
        """A raw connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def metric(self, name: str) -> float:
        """A number of `/metrics`."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split(" ")[0].split("{")[0] == name)

    def wait_until(self, is_so: Callable[[], bool], seconds: float = 10) -> None:
        """Fail if it does not become so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        self.client.close()
        self.http.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


def wav(waveform: np.ndarray, sample_rate: int = SAMPLE_RATE, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, sample_rate, **({"format": "WAV", "subtype": "PCM_16"} | options))
    return buffer.getvalue()


def tone_wav(hertz: float = 440, duration: float = 1.0) -> bytes:
    return wav(tone(duration=duration, hertz=hertz))


def tones(*pitches: float, pause: float = 2.5) -> np.ndarray:
    """A second of each, with pauses that end a segment."""
    silence = np.zeros(round(pause * SAMPLE_RATE), np.float32)
    return np.concatenate([part for hertz in pitches for part in (tone(duration=1.0, hertz=hertz), silence)])


def pcm16(waveform: np.ndarray) -> bytes:
    """16-bit samples."""
    return (np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes()
