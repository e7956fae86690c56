"""The environment of a run names commit and hardware where they can be known."""

import subprocess
from pathlib import Path

import pytest
import torch

from tiny_audio.training import environment
from tiny_audio.training.environment import describe_environment


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True).stdout


def test_commit_is_that_of_the_checkout_and_says_when_files_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "src" / "tiny_audio"
    package.mkdir(parents=True)
    monkeypatch.setattr(environment, "_PACKAGE", package)
    assert "commit" not in describe_environment()  # an installed wheel
    (package / "code.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "tag", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert describe_environment()["commit"] == commit
    (package / "code.py").write_text("a = 2\n")
    assert describe_environment()["commit"] == f"{commit}-dirty"


def test_versions_and_hardware_are_there():
    found = describe_environment()
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert "" not in found.values()
