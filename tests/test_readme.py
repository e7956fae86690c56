"""What README says is there is there, and what it says to type works."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tiny_audio.data.manifest import read_manifest
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.weights.store import DEFAULT_WEIGHTS, is_cached

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIPS = sorted((ROOT / "examples").glob("*.flac"))
MAX_EXAMPLES_WER = 0.15


def blocks(language: str) -> dict[str, str]:
    """Code blocks of README by the section they stand in; at most one of a language in each section."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", README, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        matches = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        assert len(matches) <= 1, f"section '{heading}' has {len(matches)} {language} blocks; split it"
        if matches:
            found[heading] = matches[0]
    return found


def commands(block: str) -> list[str]:
    """Its lines without comments."""
    lines = (re.sub(r"(^|\s+)#\s.*", "", line).strip() for line in block.splitlines())
    return [line for line in lines if line]


# --- the commands ---------------------------------------------------------------------------------------------------


def clips_are_understood(output: str, _: Path) -> None:
    """One line a clip, and the words that are said in it."""
    said = {utterance.audio.name: utterance.text for utterance in read_manifest(ROOT / "examples/manifest.jsonl")}
    counts = count_errors([said[clip.name] for clip in CLIPS], output.splitlines())
    assert counts.wer < MAX_EXAMPLES_WER, output


def subtitles_are_written(_: str, folder: Path) -> None:
    assert sorted(path.name for path in (folder / "runs/subtitles").iterdir()) == [f"{clip.stem}.srt" for clip in CLIPS]


def is_json_with_text(output: str, _: Path) -> None:
    assert json.loads(output)["text"]


def results_are_good(output: str, folder: Path) -> None:
    scores = json.loads((folder / "runs/examples/results.json").read_text())
    assert "  Corpus WER: " in output
    assert scores["wer"] < MAX_EXAMPLES_WER
    assert scores["num_utterances"] == len(CLIPS)


def labels_are_right(_: str, folder: Path) -> None:
    """Whisper base is the ruler: 15 % is far above what it needs for these clips."""
    said, labelled = (
        read_manifest(path) for path in (ROOT / "examples/manifest.jsonl", folder / "data/labelled.jsonl")
    )
    assert [utterance.audio.name for utterance in labelled] == [utterance.audio.name for utterance in said]
    texts = ([utterance.text for utterance in utterances] for utterances in (said, labelled))
    assert count_errors(*texts).wer < MAX_EXAMPLES_WER


def names_a_file(output: str, folder: Path) -> None:
    assert (folder / output.strip()).is_file()


def names_a_checkpoint(output: str, folder: Path) -> None:
    assert (folder / output.strip() / "model.safetensors").is_file()


def prints_something(output: str, _: Path) -> None:
    assert output


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command of README is tried: as it stands, or with options behind it that make it small."""

    check: Callable[[str, Path], None]
    smaller: str = ""


TWO_STEPS = "--set optim.max_steps=2 validate_every=2 save_every=2 max_validation_utterances=2"
TRAIN = ".venv/bin/tiny-audio train"
ON = "--train data/cache --validation examples/manifest.jsonl"
RUNS: dict[str, Run] = {
    ".venv/bin/tiny-audio --help": Run(check=prints_something),
    ".venv/bin/tiny-audio transcribe examples/*.flac": Run(check=clips_are_understood),
    ".venv/bin/tiny-audio transcribe examples/*.flac --format srt -o runs/subtitles": Run(check=subtitles_are_written),
    "cat examples/LJ001-0009.flac | .venv/bin/tiny-audio transcribe - --format json": Run(check=is_json_with_text),
    ".venv/bin/tiny-audio eval examples/manifest.jsonl --output-dir runs/examples": Run(check=results_are_good),
    ".venv/bin/tiny-audio data texts --count 30000 -o data/texts.tsv": Run(check=names_a_file, smaller="--count 20"),
    ".venv/bin/tiny-audio data synth data/texts.tsv --voices hibari --count 20000 -o data/speech": Run(
        check=names_a_file, smaller="--count 4"
    ),
    ".venv/bin/tiny-audio data cache data/speech/manifest.jsonl --augment --copies 2 -o data/cache": Run(
        check=lambda _, folder: names_a_file("data/cache/index.jsonl", folder)
    ),
    f"{TRAIN} align {ON} -o runs/align": Run(check=names_a_checkpoint, smaller=TWO_STEPS),
    f"{TRAIN} correct --init runs/align/best {ON} -o runs/correct": Run(check=names_a_checkpoint, smaller=TWO_STEPS),
    ".venv/bin/tiny-audio eval runs/correct/best examples/manifest.jsonl": Run(
        check=prints_something, smaller="--max-samples 1"
    ),
    ".venv/bin/tiny-audio data label examples/manifest.jsonl -o data/labelled.jsonl": Run(check=labels_are_right),
    ".venv/bin/tiny-audio weights --verify": Run(check=prints_something),
}
MAKE_COMMANDS = ["make run", "make test"]
"""Tried by tests of their own, below."""


def test_every_command_of_readme_is_tried_and_no_other():
    written = [command for block in blocks("bash").values() for command in commands(block)]

    assert sorted(written) == sorted([*RUNS, *MAKE_COMMANDS])


@pytest.fixture
def weights() -> None:
    """The frozen weights, which `make setup` fetches; a test does not."""
    missing = [spec.name for spec in DEFAULT_WEIGHTS if not is_cached(spec)]
    if missing:
        pytest.skip(f"not in the cache: {', '.join(missing)}; run `make setup`")


@pytest.fixture
def workspace(tmp_path, weights) -> Path:
    """An empty folder that looks like the repository to the commands."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def shell(command: str, folder: Path) -> str:
    """Standard output of a command that must end well."""
    # Or `make` inside of `make test` would announce itself on standard output.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, f"{command}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("heading", [heading for heading in blocks("bash") if heading != "Quick start"])
def test_the_commands_of_a_section_work_one_after_the_other(workspace, heading):
    for command in commands(blocks("bash")[heading]):
        run = RUNS[command]
        run.check(shell(f"{command} {run.smaller}", workspace), workspace)


def test_the_python_of_readme_runs(workspace):
    (code,) = blocks("python").values()
    (workspace / "snippet.py").write_text(code, encoding="utf-8")

    clips_are_understood(shell(".venv/bin/python snippet.py", workspace), workspace)


def test_make_run_prints_the_words_of_the_examples_and_nothing_else(weights):
    if Path(sys.prefix) != ROOT / ".venv" or not (ROOT / ".venv/.installed").exists():
        pytest.skip("this is not the environment of `make setup`, and a test does not install one")

    clips_are_understood(shell("make run", ROOT), ROOT)


def test_make_test_has_all_four_parts():
    plan = shell("make --dry-run test", ROOT)

    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert f".venv/bin/{tool}" in plan


# --- the list of files and the links --------------------------------------------------------------------------------


def listed_paths() -> set[str]:
    """Paths of the list in README; folders end with a slash."""
    paths = set()
    parents: list[str] = []
    for line in blocks("text")["Layout"].splitlines():
        match = re.match(r"( *)(\S+)", line)
        assert match, f"not a line of the list: '{line}'"
        depth = len(match[1]) // 2
        path = "".join([*parents[:depth], match[2]])
        parents[depth:] = [match[2]]
        paths.add(path)
    return paths


def paths_on_disk() -> set[str]:
    """Top level of the repository and all of the package but empty package files; what git ignores is not there."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    paths = set()
    for name in done.stdout.splitlines():
        path = Path(name)
        if not (ROOT / path).exists():
            continue
        if not path.is_relative_to("src"):
            paths.add(name if path.parent == Path() else f"{path.parts[0]}/")
            continue
        folders = [f"{folder}/" for folder in path.parents if folder not in (Path(), Path("src"))]
        if "pretrained" in path.parts:
            folders = [folder for folder in folders if folder.count("/") <= 3]
        elif path.name != "__init__.py" or path.parent.name == "tiny_audio":
            paths.add(name)
        paths.update(folders)
    return paths


def test_readme_lists_every_file_of_the_package_and_nothing_that_is_gone():
    listed, present = listed_paths(), paths_on_disk()

    assert sorted(present - listed) == [], "not listed in README"
    assert sorted(listed - present) == [], "listed in README, but not there"


@pytest.mark.parametrize("document", sorted(path.name for path in ROOT.glob("*.md")))
def test_links_between_documents_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]

    for target in targets:
        path, _, anchor = target.partition("#")
        assert (ROOT / (path or document)).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", (ROOT / (path or document)).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], target
