"""Links and anchors of docs/ and README lead somewhere, and the commands in them are commands; without mkdocs."""

import re
import shlex
from pathlib import Path

import pytest

from tiny_audio import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAX_PICTURES = 300_000


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """As Python-Markdown makes them of headings."""
    headings = re.findall(
        r"^#+ +(.*)$", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL), re.MULTILINE
    )
    words = (re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", one) for one in words}


@pytest.mark.parametrize("page", names(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for link in LINK.findall(without_code(path.read_text(encoding="utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{page}: {link}"
        assert not path.is_relative_to(DOCS) or file.is_relative_to(DOCS), f"{page}: {link} is not in the site"
        assert not anchor or anchor in anchors(file), f"{page}: {link}"


@pytest.mark.parametrize("page", names([*sorted((DOCS / "course").glob("*.md")), DOCS / "index.md"]))
def test_commands_of_the_course_are_commands(page: str) -> None:
    for block in re.findall(r"^```bash\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            program, *words = shlex.split(line, comments=True)
            if program.endswith("/tiny-audio"):
                cli._parse(words)  # exits with 2 for what it does not know
            elif program.endswith(("/python", "bash")):
                assert (ROOT / words[0]).is_file(), line
            else:
                assert program == "make", line


@pytest.mark.parametrize("page", names(sorted((DOCS / "course").glob("[0-9]-*.md"))))
def test_a_lesson_has_all_its_parts(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for part in ("**Time**: 10 minutes to read", "**Afterwards you can**", "## Exercise", "**Checkpoints**", "## Quiz"):
        assert part in text
    assert text.count("\n- [ ] ") >= 3
    questions = re.findall(r"^\?\?\? question \".+\"\n    \S", text, re.MULTILINE)
    assert len(questions) == text.count("??? question") >= 4
    assert re.search(r"!\[[^]]+\]\(figures/\w+\.webp\)", text)
    prose = re.sub(r"```.*?```", "", text.partition("## Exercise")[0], flags=re.DOTALL)
    assert 600 < len(prose.split()) < 2_200, "ten minutes of reading"


def test_every_picture_is_shown_and_all_are_small() -> None:
    pictures = {path for path in DOCS.rglob("*") if path.suffix in (".webp", ".png", ".svg", ".jpg")}
    shown = {
        (page.parent / link).resolve() for page in DOCS.rglob("*.md") for link in LINK.findall(page.read_text("utf-8"))
    }
    pages = {path for path in pictures if path.stem.endswith(("_desktop", "_phone"))}
    assert sorted(pictures - shown) == []
    assert sum(path.stat().st_size for path in pictures - pages) < MAX_PICTURES
    assert 0 < sum(path.stat().st_size for path in pages) < MAX_PICTURES
