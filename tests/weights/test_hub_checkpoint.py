"""Published checkpoints: only data is fetched, all of it verified, and what could run or was changed is refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from hub_server import StandInHub
from tiny_audio.errors import WeightsError
from tiny_audio.weights.hub_checkpoint import is_hub_name, resolve_checkpoint

REPO = "somebody/model"
WEIGHTS = save({"weight": np.arange(6, dtype=np.float32)})
FETCH = """
import sys
from tiny_audio.errors import WeightsError
from tiny_audio.weights.hub_checkpoint import fetch_checkpoint
for name in sys.argv[1:]:
    try:
        print(fetch_checkpoint(name))
    except WeightsError as error:
        print(f"refused: {error}")
"""


def checkpoint(*, source: Any = "whisper-base", auto_map: bool = False, **more: bytes) -> dict[str, bytes]:
    config = {"encoder": {"source": source, "sha256": None}, "llm": {"source": "./language_model"}}
    announced = {"tiny_audio": config, "auto_map": {"AutoModel": "modules.Model"}}
    part = {"language_model/config.json": b"{}", "language_model/model.safetensors": WEIGHTS}
    own = {"config.json": json.dumps(announced if auto_map else config).encode(), "model.safetensors": WEIGHTS}
    return {**own, **part, "README.md": b"# A model", **more}


def fetch(hub: StandInHub, home: Path, *names: str, **environment: str) -> list[str]:
    """What each fetch in a new process gives."""
    command = [sys.executable, "-c", FETCH, *names]
    environment = hub.environment(home, **environment)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as server:
        yield server


def test_data_alone_is_fetched_once_and_found_again_without_a_network(hub: StandInHub, tmp_path: Path) -> None:
    files = checkpoint(auto_map=True, **{"modules.py": b"raise SystemExit"})
    first = hub.publish(REPO, files)
    second = hub.publish(REPO, files | {"model.safetensors": save({"weight": np.ones(6, np.float32)})})

    newest, older, again = fetch(hub, tmp_path, REPO, f"{REPO}@{first}", REPO)

    assert newest == again
    assert (Path(newest).name, Path(older).name) == (second, first)
    found = {str(path.relative_to(older)): path.read_bytes() for path in Path(older).rglob("*") if path.is_file()}
    assert found == {name: files[name] for name in files if name not in ("README.md", "modules.py")}
    asked = sum(line == f"GET /api/models/{REPO}/revision/main" for line in hub.requests)
    assert asked <= 2  # ours, and none for the second time in a process

    hub.requests.clear()
    offline = fetch(hub, tmp_path, REPO, f"{REPO}@{first}", f"{REPO}@v2", HF_HUB_OFFLINE="1")
    assert offline[:2] == [newest, older]
    assert offline[2].startswith(f"refused: no folder '{REPO}@v2', and the hub did not answer (it is switched off")
    assert hub.requests == []
    unreachable = fetch(hub, tmp_path, REPO, HF_ENDPOINT="http://127.0.0.1:9")
    assert unreachable == [newest]


def test_a_tampered_file_is_refused_and_never_used_later(hub: StandInHub, tmp_path: Path) -> None:
    sha = hub.publish(REPO, checkpoint())
    changed = save({"weight": np.zeros(6, np.float32)})
    assert len(changed) == len(WEIGHTS)  # or its size would betray it
    for path, content in (
        ("model.safetensors", changed),
        ("config.json", hub.repositories[REPO].files["config.json"][::-1]),
    ):
        hub.tampered = {path: content}
        (refused,) = fetch(hub, tmp_path, REPO)
        assert refused.startswith(f"refused: '{REPO}/{path}' arrived with hash ")
        assert "was changed on its way" in refused
        (offline,) = fetch(hub, tmp_path, f"{REPO}@{sha}", HF_HUB_OFFLINE="1")
        assert offline.startswith("refused: ")
    hub.tampered = {}
    (folder,) = fetch(hub, tmp_path, REPO)
    assert (Path(folder) / "model.safetensors").read_bytes() == WEIGHTS


def test_what_could_run_or_is_not_there_is_one_clear_line(hub: StandInHub, tmp_path: Path) -> None:
    cases = {
        "pickled": (checkpoint(**{"pytorch_model.bin": b"p"}), "holds pickles (pytorch_model.bin), which can run code"),
        "hidden-pickle": (checkpoint(**{"encoder/x.PKL": b"p"}), "holds pickles (encoder/x.PKL)"),
        "code": (checkpoint(**{"setup.py": b""}), "holds unexpected code (setup.py), which its config.json does not"),
        "deep-code": (checkpoint(auto_map=True, **{"a/b.py": b""}), "holds unexpected code (a/b.py)"),
        "library": (checkpoint(**{"fast.so": b""}), "holds unexpected code (fast.so)"),
        "disk": (checkpoint(source="/etc/model"), 'takes its encoder from "/etc/model"; expected a part of its own'),
        "upwards": (checkpoint(source="./../../model"), 'takes its encoder from "./../../model"'),
        "unpinned": (checkpoint(source="org/encoder"), 'takes its encoder from "org/encoder"'),
        "empty": ({"README.md": b""}, "has no config.json, model.safetensors; expected a checkpoint of tiny-audio"),
    }
    for name, (files, _) in cases.items():
        hub.publish(f"somebody/{name}", files)
    hub.publish(REPO, checkpoint())
    messages = {f"somebody/{name}": message for name, (_, message) in cases.items()} | {
        f"{REPO}@v9": f"'{REPO}' has no revision 'v9'; expected a commit, branch or tag of it",
        "nobody/nothing": "no folder 'nobody/nothing', and the hub shows no such repository",
    }

    answers = fetch(hub, tmp_path, *messages)

    assert len(answers) == len(messages)
    for answer, message in zip(answers, messages.values(), strict=True):
        assert answer.startswith("refused: ")
        assert message in answer
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_folders_come_first_and_paths_are_no_hub_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs" / "best").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint("runs/best") == Path("runs/best")
    assert all(map(is_hub_name, ["a/b", "a/b@main", "a/b@refs/pr/1", "a-b/c.d"]))
    assert not any(
        map(is_hub_name, ["a", "/a/b", "./a/b", "../b", "a/b/c", "a/b@", "a/b@../c", "tiny-audio-base@fast"])
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="no folder 'runs/worst', and the hub did not answer"):
        resolve_checkpoint("runs/worst")
