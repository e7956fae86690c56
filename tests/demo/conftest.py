"""The demo of a test: an engine that hears tones, a tiny model to look into and to ask; needs the extra `demo`."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from fakes import FakeSpeechModel, tone
from tiny_audio.audio.timebase import SAMPLE_RATE

if TYPE_CHECKING:
    from tiny_audio.demo.model import DemoModel

collect_ignore_glob = [] if find_spec("gradio") and find_spec("prometheus_client") else ["test_*.py"]


@contextmanager
def tiny_demo_model(heard: Any = None, **options: Any) -> "Iterator[DemoModel]":
    """A model that is closed afterwards."""
    from tiny_audio.audio.vad import VadOptions
    from tiny_audio.demo.model import DemoModel
    from tiny_audio.inference.transcriber import Transcriber
    from tiny_audio.serving.engine import Engine
    from tiny_models import tiny_asr_model

    engine = Engine(Transcriber(heard or FakeSpeechModel(), vad=VadOptions(kind="energy")), **options)
    model = DemoModel("tiny<model>", engine, whole=tiny_asr_model())
    try:
        yield model
    finally:
        model.close()


@pytest.fixture
def model() -> "Iterator[DemoModel]":
    with tiny_demo_model() as model:
        yield model


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of a demo that runs in a thread."""
    from tiny_audio.demo.app import DemoServer, demo_app

    with tiny_demo_model() as model, demo_app(model, max_upload_mb=1) as app:
        server = DemoServer(app)
        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tones with a pause that ends a segment."""
    path = tmp_path_factory.mktemp("recordings") / "two.wav"
    pause = np.zeros(round(2.5 * SAMPLE_RATE), np.float32)
    waveform = np.concatenate([tone(duration=1.0, hertz=440), pause, tone(duration=1.0, hertz=880), pause])
    soundfile.write(path, waveform, SAMPLE_RATE)
    return path
