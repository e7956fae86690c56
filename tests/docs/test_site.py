"""`make docs`: the site is built without a warning, and asks no other host for anything."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(find_spec("material") is None, reason="needs `pip install 'tiny-audio[docs]'`")


def test_the_site_is_complete_and_keeps_to_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr

    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= 9
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|iframe|source)[^>]+?src=\"?([^\" >]+)", text)
        fetched += re.findall(r"<link[^>]+rel=\"?(?:stylesheet|preconnect|preload)\"?[^>]*href=\"?([^\" >]+)", text)
        fetched += re.findall(r"<link[^>]+href=\"?([^\" >]+)[^>]*rel=\"?(?:stylesheet|preconnect|preload)", text)
        assert fetched
        assert [address for address in fetched if "//" in address] == []
    quiz = (tmp_path / "site/course/1-sound.html").read_text(encoding="utf-8")
    assert "<details" in quiz
    assert 'type="checkbox"' in quiz or "type=checkbox" in quiz


def test_make_docs_builds_strictly() -> None:
    done = subprocess.run(["make", "--dry-run", "docs"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "mkdocs build --strict" in done.stdout
