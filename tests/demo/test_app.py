"""The demo over HTTP, as its page uses it and as somebody else may."""

import asyncio
import json
import os
import uuid
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from demo.conftest import tiny_demo_model
from tiny_audio.demo.app import demo_app
from tiny_audio.demo.fence import names_foreign_file


class Visitor:
    """Asks the demo what its page would ask."""

    def __init__(self, site: str) -> None:
        self.client = httpx.Client(base_url=site, timeout=30)
        self.config = self.client.get("/config").json()

    def upload(self, name: str, data: bytes) -> str:
        return self.client.post("/gradio_api/upload", files={"files": (name, data)}).raise_for_status().json()[0]

    def ask(self, target: str, *values: Any) -> dict[str, Any]:
        """The last message of the event that a component starts, such as `change` of an audio."""
        ids = {component["id"] for component in self.config["components"] if component["type"] == target}
        event = next(
            row
            for row in self.config["dependencies"]
            if row["targets"][0][0] in ids and len(row["inputs"]) == len(values)
        )
        session = uuid.uuid4().hex
        body = {"data": list(values), "fn_index": event["id"], "session_hash": session}
        self.client.post("/gradio_api/queue/join", json=body).raise_for_status()
        messages: list[dict[str, Any]] = []
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
            for line in lines.iter_lines():
                if line.startswith("data:"):
                    messages.append(json.loads(line.removeprefix("data:")))
                    if messages[-1]["msg"] == "process_completed":
                        return messages[-1]
        raise AssertionError(messages)


def file_data(path: str, **more: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


@pytest.fixture
def visitor(site: str) -> Visitor:
    return Visitor(site)


def test_a_recording_is_transcribed(visitor: Visitor, recording: Path) -> None:
    answer = visitor.ask("audio", file_data(visitor.upload("two.wav", recording.read_bytes())))

    assert answer["success"], answer
    text, words, *_ = answer["output"]["data"]
    assert text == "tone440 tone880"
    assert 'download="two.srt"' in words


def test_an_error_tells_the_name_and_not_the_folder(visitor: Visitor) -> None:
    answer = visitor.ask("audio", file_data(visitor.upload("bad.wav", b"no audio" * 99)))

    assert not answer["success"]
    assert "'bad.wav'" in answer["output"]["error"]
    assert os.environ["GRADIO_TEMP_DIR"] not in json.dumps(answer)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../etc/passwd", "http://127.0.0.1:9/a.wav", "https://x.test/a.wav"]
)
def test_a_file_that_was_not_uploaded_is_not_opened(visitor: Visitor, path: str, capfd: pytest.CaptureFixture) -> None:
    for value in (file_data(path), file_data(path, url="http://127.0.0.1:9/a.wav")):
        answer = visitor.ask("audio", value)
        assert not answer["success"]
        assert answer["output"]["error"] == "This file was not uploaded; record or upload one."
    assert "Traceback" not in capfd.readouterr().err


def test_foreign_files_are_found_wherever_they_hide(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "link").symlink_to("/etc/passwd")
    own = {"path": str(folder / "a" / "clip.wav"), "url": None}
    assert not names_foreign_file([own, "text", 3, None, [own]], folder)
    for path in (
        "/etc/passwd",
        f"{folder}/../x",
        f"{folder}x/y",
        f"{folder}/link",
        "http://x.test/a",
        "a.wav",
        7,
        None,
    ):
        assert names_foreign_file([[{"value": {"path": path}}]], folder)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:9/",
        "/gradio_api/file={folder}/../../etc/passwd",
        "/gradio_api/file=pyproject.toml",
        "/gradio_api/proxy=https://x.hf.space/",
        "/gradio_api/openapi.json",
        "/gradio_api/vibe-code/",
        "/gradio_api/runs",
        "/monitoring/summary",
        "/docs",
    ],
)
def test_what_the_page_does_not_need_does_not_exist(visitor: Visitor, path: str) -> None:
    path = path.format(folder=os.environ["GRADIO_TEMP_DIR"])
    for method in ("GET", "POST", "PUT"):
        assert visitor.client.request(method, path.replace("..", "%2e%2e")).text == "not found\n"


def test_what_was_uploaded_can_be_played(visitor: Visitor, recording: Path) -> None:
    path = visitor.upload("two.wav", recording.read_bytes())
    assert visitor.client.get(f"/gradio_api/file={path}").content == recording.read_bytes()


def test_too_large_an_upload_is_refused(visitor: Visitor) -> None:
    answer = visitor.client.post("/gradio_api/upload", files={"files": ("big.wav", bytes(2 << 20))})
    assert answer.status_code == 413


def test_the_page_may_load_nothing_from_elsewhere(visitor: Visitor) -> None:
    page = visitor.client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'self' ")
    assert "fonts.googleapis.com" not in page.text
    assert "tiny&lt;model&gt;" in json.dumps(visitor.config)


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with tiny_demo_model() as model, demo_app(model) as app:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        assert any(folder.rglob("*.flac")), "the examples"
        transport = httpx.ASGITransport(app)

        async def upload() -> str:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return (await client.post("/gradio_api/upload", files={"files": ("a.wav", b"x")})).json()[0]

        assert Path(asyncio.run(upload())).is_relative_to(folder)
    assert not folder.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ
