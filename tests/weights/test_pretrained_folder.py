"""Checkpoints in folders and on the hub; a local server stands in for the hub."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hub_server import StandInHub
from tiny_audio.errors import WeightsError
from tiny_audio.weights.pretrained_folder import fingerprint, read_config, read_tensors, resolve_folder, weight_files

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4, dtype=torch.float16)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_checkpoint(folder: Path, *, num_shards: int = 1) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "tiny"}')
    if num_shards == 1:
        save_file(TENSORS, folder / "model.safetensors")
        return folder
    weight_map = {}
    for number, (name, tensor) in enumerate(TENSORS.items(), 1):
        weight_map[name] = f"model-{number:05}-of-{num_shards:05}.safetensors"
        save_file({name: tensor}, folder / weight_map[name])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("num_shards", [1, 2])
def test_a_folder_gives_its_tensors_whole_or_in_shards(tmp_path, num_shards):
    folder = resolve_folder(str(write_checkpoint(tmp_path / "model", num_shards=num_shards)))
    assert len(weight_files(folder)) == num_shards
    tensors = read_tensors(folder)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert tensors["b.weight"].dtype == torch.float16
    assert read_config(folder) == {"model_type": "tiny"}


def test_tensors_are_renamed_and_what_is_not_wanted_stays_on_disk(tmp_path):
    folder = write_checkpoint(tmp_path / "model", num_shards=2)
    tensors = read_tensors(folder, lambda name: name.removeprefix("a.") if name.startswith("a.") else None)
    assert tensors.keys() == {"weight"}


def test_the_fingerprint_is_what_sha256sum_would_say(tmp_path):
    single = write_checkpoint(tmp_path / "single")
    assert fingerprint(single) == hashlib.sha256((single / "model.safetensors").read_bytes()).hexdigest()
    sharded = write_checkpoint(tmp_path / "sharded", num_shards=2)
    lines = subprocess.run(["sha256sum", *(path.name for path in weight_files(sharded))], cwd=sharded, stdout=-1)
    assert fingerprint(sharded) == hashlib.sha256(lines.stdout).hexdigest()
    (sharded / "other.safetensors").write_bytes(b"a file that no weights index names")
    assert fingerprint(sharded) == hashlib.sha256(lines.stdout).hexdigest()
    save_file({"b.weight": torch.zeros(4)}, weight_files(sharded)[1])
    assert fingerprint(sharded) != hashlib.sha256(lines.stdout).hexdigest()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json; expected a complete checkpoint"),
        (lambda folder: (folder / "model-00002-of-00002.safetensors").unlink(), "has no model-00002-of-00002.safete"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{"), "cannot read .*index.json"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("[]"), "holds no JSON object"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "names no weights"),
    ],
)
def test_an_incomplete_folder_is_one_clear_line(tmp_path, broken, message):
    folder = write_checkpoint(tmp_path / "model", num_shards=2)
    broken(folder)
    with pytest.raises(WeightsError, match=message) as error:
        resolve_folder(str(folder))
    assert "\n" not in str(error.value)


def test_an_index_cannot_point_out_of_its_folder(tmp_path):
    save_file(TENSORS, tmp_path / "outside.safetensors")
    folder = write_checkpoint(tmp_path / "model", num_shards=2)
    weight_map = {"a.weight": "../outside.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(WeightsError, match=r"has no outside.safetensors"):
        weight_files(folder)


def test_pickled_weights_are_not_an_alternative(tmp_path):
    folder = write_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"has no model.safetensors; pickled weights are never loaded"):
        resolve_folder(str(folder))


def test_a_damaged_file_is_one_clear_line(tmp_path):
    folder = write_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(WeightsError, match=r"cannot read '.*model.safetensors'") as error:
        read_tensors(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", ["no-such-name", "/no/such/folder", "a/b/c", "./here", "org/"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_not_looked_for(source):
    with pytest.raises(WeightsError, match="expected a folder or a hub id"):
        resolve_folder(source)


def test_a_folder_has_no_revision(tmp_path):
    with pytest.raises(WeightsError, match="is a folder and has no revision 'v1'"):
        resolve_folder(str(write_checkpoint(tmp_path / "model")), revision="v1")


RESOLVE = """
import sys
from tiny_audio.weights.pretrained_folder import resolve_folder
source, revision = sys.argv[1:]
print(resolve_folder(source, revision=revision or None, patterns=("preprocessor_config.json",)))
"""


def resolve(home: Path, endpoint: str, source: str, revision: str = "", *, offline: bool = False):
    """In a process of its own: the hub's client reads its environment when it is imported."""
    environment = {
        **os.environ,
        "HF_HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": str(int(offline)),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    environment = {name: value for name, value in environment.items() if name not in ("HF_HUB_CACHE", "HF_TOKEN")}
    command = [sys.executable, "-c", RESOLVE, source, revision]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture
def hub(tmp_path):
    """A server with two repositories: `org/model` with sharded weights and some more, `org/pickled` without any."""
    folder = write_checkpoint(tmp_path / "served", num_shards=2)
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "model.fp32-00001-of-00002.safetensors").write_bytes(b"the same weights once more")
    with StandInHub() as server:
        server.publish("org/model", {file.name: file.read_bytes() for file in folder.iterdir()})
        server.publish("org/pickled", {"config.json": b"{}"})
        yield server.url, server.requests, folder


def test_the_hub_delivers_once_and_then_is_not_asked(hub, tmp_path):
    endpoint, requests, served = hub
    first = resolve(tmp_path / "home", endpoint, "org/model")
    assert first.returncode == 0, first.stderr
    folder = Path(first.stdout.strip())
    wanted = {"config.json", "preprocessor_config.json", "model.safetensors.index.json"}
    wanted |= {path.name for path in weight_files(served)}
    assert {path.name for path in folder.iterdir()} == wanted
    assert fingerprint(folder) == fingerprint(served)
    requests.clear()
    for options in ({}, {"offline": True}):
        again = resolve(tmp_path / "home", endpoint, "org/model", **options)
        assert again.stdout == first.stdout, again.stderr
    assert requests == []


@pytest.mark.parametrize(
    ("source", "revision", "offline", "message"),
    [
        ("org/none", "", False, "the hub did not deliver 'org/none' (404"),
        ("org/model", "no-such-revision", False, "the hub did not deliver 'org/model' at revision 'no-such-revision'"),
        ("org/pickled", "", False, "'org/pickled' holds no model.safetensors, and pickled weights are never loaded"),
        ("org/model", "", True, "'org/model' is not in the hub's cache, and the hub is switched off"),
    ],
)
def test_what_the_hub_does_not_give_is_one_clear_line(hub, tmp_path, source, revision, offline, message):
    done = resolve(tmp_path / "home", hub[0], source, revision, offline=offline)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]


def test_a_hub_out_of_reach_fails_at_once(tmp_path):
    done = resolve(tmp_path / "home", "http://127.0.0.1:9", "org/model", COMMIT)
    assert "the hub did not deliver 'org/model' at revision" in done.stderr.splitlines()[-1]
    assert "Retrying" not in done.stderr
