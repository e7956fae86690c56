"""The wheel, built from the sdist and without git: all of the package is in it, and nothing else."""

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tiny_audio import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed (extra dev)")
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, "sdist", folder)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder)
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    build(unpacked, "wheel", folder)
    (path,) = folder.glob("*.whl")
    return path


def build(source: Path, target: str, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_has_the_package_its_models_and_the_examples_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if name.startswith(f"tiny_audio-{__version__}.dist-info/")}
    package = {f"tiny_audio/{name}" for name in files(ROOT / "src" / "tiny_audio")}
    examples = {f"tiny_audio/examples/{name}" for name in files(ROOT / "examples")}

    assert names - about == package | examples
    assert {"tiny_audio/pretrained/tiny-audio-base/model.safetensors", "tiny_audio/py.typed"} < package
    assert any(name.startswith("tiny_audio/data/replay/audio/") for name in package)
    assert {Path(name).suffix for name in package} >= {".css", ".js"}
    assert any(name.endswith("/LICENSE") for name in about)


def test_an_unpacked_wheel_is_the_command_wherever_it_is_called(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (points,) = site.glob("*.dist-info/entry_points.txt")
    assert "tiny-audio = tiny_audio.cli:main" in points.read_text()

    done = subprocess.run(
        [sys.executable, "-m", "tiny_audio", "samples"],
        cwd=empty,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
    )

    assert done.returncode == 0, done.stderr
    assert files(empty) == files(ROOT / "examples") == files(site / "tiny_audio" / "examples")


def test_one_version_stands_everywhere() -> None:
    assert PROJECT["dynamic"] == ["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    git = ["git", "-C", str(ROOT), "tag", "--points-at", "HEAD"]
    tags = subprocess.run(git, capture_output=True, text=True).stdout.split()
    assert [tag for tag in tags if tag.startswith("v")] in ([], [f"v{__version__}"])


def test_every_extra_that_a_message_or_a_page_names_can_be_installed() -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named: set[str] = set()
    for path in sources:
        text = path.read_text(encoding="utf-8")
        named |= {extra for group in re.findall(r"tiny-audio\[([a-z,]+)\]", text) for extra in group.split(",")}
        named |= set(re.findall(r'MissingExtraError\(\s*"[^"]+",\s*"([^"]+)"', text))

    assert named
    assert named <= PROJECT["optional-dependencies"].keys()
