"""What README says is there is there, and what it says to type works."""

import contextlib
import io
import json
import logging
import os
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tiny_audio import cli, load_audio
from tiny_audio.data.manifest import read_manifest, write_manifest
from tiny_audio.data.replay import replay_utterances
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.training import adaptation
from tiny_audio.weights.store import DEFAULT_WEIGHTS, is_cached

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = read_manifest(ROOT / "examples/manifest.jsonl")
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
    assert_understood(*output.splitlines())


def assert_understood(*texts: str) -> None:
    """The texts of the examples, in the order of their names."""
    said = [utterance.text for utterance in sorted(EXAMPLES, key=lambda utterance: utterance.audio.name)]
    assert count_errors(said, texts).wer < MAX_EXAMPLES_WER, texts


def transcripts_are_written(_: str, folder: Path) -> None:
    written = folder / "runs/transcripts"
    names = [utterance.audio.stem for utterance in EXAMPLES]
    assert {path.name for path in written.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("srt", "json")}
    transcripts = [json.loads(path.read_text()) for path in sorted(written.glob("*.json"))]
    assert_understood(*(transcript["text"] for transcript in transcripts))
    for transcript in transcripts:
        words = [word for segment in transcript["segments"] for word in segment["words"]]
        assert " ".join(word["text"] for word in words) == transcript["text"]
        assert [word["start"] for word in words] == sorted(word["start"] for word in words)


ONE_CLIP = "Printing then for our purpose may be considered as the art of making books by means of movable types"
"""`LJ001-0009`."""


def is_one_clip(output: str, _: Path) -> None:
    """The clip as it is heard; there is no full stop."""
    (line,) = output.splitlines()
    assert line.endswith(ONE_CLIP), output


def is_one_clip_written(output: str, _: Path) -> None:
    """The same as the language model writes it by itself."""
    (line,) = output.splitlines()
    assert line.endswith(f"{ONE_CLIP}."), output


def is_spelt(output: str, _: Path) -> None:
    """`LJ001-0120`, in which the draft has no "individuality"."""
    assert (
        output.split()
        == (
            "in the old print, each figure has its definite individuality, and one cannot be mistaken for the other."
        ).split()
    ), output


def is_one_draft(output: str, _: Path) -> None:
    """The clip as the CTC alone writes it, with its times."""
    assert output == f"[00:00.000 --> 00:07.554]  {ONE_CLIP}\n"


def is_json_with_text(output: str, _: Path) -> None:
    assert json.loads(output)["text"]


def results_are_good(output: str, folder: Path) -> None:
    scores = json.loads((folder / "runs/examples/results.json").read_text())
    assert "  Corpus WER: " in output
    assert scores["wer"] < MAX_EXAMPLES_WER
    assert scores["num_utterances"] == len(EXAMPLES)


def systems_are_compared(output: str, folder: Path) -> None:
    assert output.splitlines()[-1].startswith("whisper-base ")
    names = {"answers", "report.html", "results.json", "results.jsonl", "summary.md"}
    assert {path.name for path in (folder / "runs/compare").iterdir()} == names


def labels_are_right(_: str, folder: Path) -> None:
    """Whisper base is the ruler: 15 % is far above what it needs for these clips."""
    labelled = read_manifest(folder / "data/labelled.jsonl")
    assert_understood(*(utterance.text for utterance in sorted(labelled, key=lambda one: one.audio.name)))


def has_no_problems(output: str, _: Path) -> None:
    assert "no problems" in output


def names_files(output: str, folder: Path) -> None:
    assert output.splitlines()
    assert all((folder / line).is_file() for line in output.splitlines())


def clips_are_described(output: str, _: Path) -> None:
    descriptions = [line.split("\t")[1] for line in output.splitlines()]
    assert len(descriptions) == 5
    assert all(one.startswith("A woman speaks ") and one.endswith("without noise.") for one in descriptions)


def names_a_checkpoint(output: str, folder: Path) -> None:
    assert (folder / output.strip() / "model.safetensors").is_file()


def training_is_measured(_: str, folder: Path) -> None:
    assert json.loads((folder / "runs/smoke/eval/results.json").read_text())["wer"] >= 0


def names_a_command(output: str, _: Path) -> None:
    assert output.splitlines()[-1].lstrip().startswith("tiny-audio train align")


def is_adapted(output: str, folder: Path) -> None:
    *_, verdict, model = output.splitlines()
    assert re.match(r"(not shown to be )?(better|worse): ", verdict)
    names_a_checkpoint(model, folder)


def words_are_timed(output: str, _: Path) -> None:
    words = [line.split() for line in output.splitlines()]
    assert [word[4] for word in words] == "Printing, then, for our purpose, may be considered".split()
    starts = [float(word[2]) for word in words]
    assert starts == sorted(starts)


def names_a_published_folder(_: str, folder: Path) -> None:
    assert {"README.md", "config.json", "model.safetensors"} <= {path.name for path in (folder / "runs/push").iterdir()}


def assert_subtitles(output: str) -> None:
    """Of one cue, with the words of `LJ001-0009`."""
    number, times, *lines = output.split("\n\n")[0].splitlines()
    assert number == "1"
    assert times.startswith("00:00:00,")
    assert "art of making books" in " ".join(lines + output.split())


def prints_something(output: str, _: Path) -> None:
    assert output


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command of README is tried: as it stands, or with options behind it that make it small."""

    check: Callable[[str, Path], None]
    smaller: str = ""


ONE_STEP = "--set optim.max_steps=1 validate_every=1 save_every=1 max_validation_utterances=1"
BIN = ".venv/bin/tiny-audio"
PORT = 8000
"""In README; in a test it is one that is free."""
VALIDATION = "--validation examples/manifest.jsonl"
ON = f"--train data/cache {VALIDATION}"


def models_are_ranked(_: str, folder: Path) -> None:
    page = (folder / "runs/leaderboard.md").read_text(encoding="utf-8")
    assert {"tiny-audio-base", "whisper-base"} <= set(page.replace("|", " ").split())


RUNS: dict[str, Run] = {
    f"{BIN} --help": Run(check=prints_something),
    f"{BIN} transcribe examples/*.flac": Run(check=clips_are_understood),
    f"{BIN} transcribe examples --format srt,json --word-timestamps -o runs/transcripts": Run(
        check=transcripts_are_written
    ),
    f"{BIN} transcribe examples/LJ001-0009.flac --mode fast --timestamps": Run(check=is_one_draft),
    f"{BIN} transcribe examples/LJ001-0120.flac --mode letters": Run(check=is_spelt),
    f"cat examples/LJ001-0009.flac | {BIN} transcribe - --format json": Run(check=is_json_with_text),
    f"arecord -q -t raw -f S16_LE -r 16000 | {BIN} listen -": Run(check=is_one_clip),
    f"{BIN} describe examples/*.flac": Run(check=clips_are_described),
    f"{BIN} eval examples/manifest.jsonl --output-dir runs/examples": Run(check=results_are_good),
    f"{BIN} eval tiny-audio-base whisper-base --dataset examples --output-dir runs/compare": Run(
        check=systems_are_compared, smaller="--max-samples 1"
    ),
    f"{BIN} leaderboard runs -o runs/leaderboard.md": Run(check=models_are_ranked),
    f"{BIN} data texts --count 30000 -o data/texts.tsv": Run(check=names_files, smaller="--count 20"),
    f"{BIN} data synth data/texts.tsv --voices hibari --count 20000 -o data/speech": Run(
        check=names_files, smaller="--count 4"
    ),
    f"{BIN} data cache data/speech/manifest.jsonl --augment --copies 2 -o data/cache": Run(
        check=lambda _, folder: names_files("data/cache/index.jsonl", folder)
    ),
    f"{BIN} train align {ON} -o runs/align": Run(check=names_a_checkpoint, smaller=ONE_STEP),
    f"{BIN} train correct --init runs/align/best {ON} -o runs/correct": Run(check=names_a_checkpoint, smaller=ONE_STEP),
    f"{BIN} train characters --init runs/correct/best {ON} -o runs/characters": Run(
        check=names_a_checkpoint, smaller=ONE_STEP
    ),
    f"{BIN} train describe --init runs/characters/best --train data/described/manifest.jsonl -o runs/describe": Run(
        check=names_a_checkpoint, smaller=ONE_STEP
    ),
    f"{BIN} eval runs/correct/best examples/manifest.jsonl": Run(check=prints_something, smaller="--max-samples 1"),
    f"{BIN} train ctc --recipe aut_tiny_ctc --train data/speech/manifest.jsonl {VALIDATION} -o runs/aut": Run(
        check=names_a_checkpoint, smaller=ONE_STEP
    ),
    f"{BIN} data describe data/speech/manifest.jsonl -o data/described": Run(check=names_files),
    f"{BIN} data import recordings -o data/own.jsonl": Run(check=names_files),
    f"{BIN} data check data/own.jsonl --recipe tiny_audio_base": Run(check=has_no_problems),
    f"{BIN} data stats data/own.jsonl": Run(check=prints_something),
    f"{BIN} data split data/own.jsonl -o data/own": Run(check=names_files),
    f"{BIN} data chunk data/own.jsonl --max-duration 20 -o data/short.jsonl": Run(check=names_files),
    f"{BIN} data label data/own.jsonl -o data/labelled.jsonl": Run(check=labels_are_right),
    "bash runs/smoke_cpu.sh runs/smoke": Run(check=training_is_measured, smaller="16 2"),
    f"{BIN} diagnose runs/smoke/align": Run(check=prints_something),
    f"{BIN} plan tiny_audio_base --train runs/smoke/cache --time 2h --price-per-hour 1.2": Run(check=names_a_command),
    f"{BIN} train align --train runs/smoke/cache -o runs/lr --lr-range-test": Run(
        check=lambda _, folder: names_files("runs/lr/lr_range.jsonl", folder),
        smaller="--set optim.max_batch_duration=5",
    ),
    ".venv/bin/torchrun --nproc_per_node=2 -m tiny_audio train align --train runs/smoke/cache -o runs/two": Run(
        check=names_a_checkpoint, smaller="--set optim.max_steps=1"
    ),
    f"{BIN} adapt tiny-audio-base data/own.jsonl -o runs/adapted": Run(check=is_adapted, smaller="--steps 1"),
    f"{BIN} adapt tiny-audio-base sentences.txt -o runs/from-text": Run(check=is_adapted, smaller="--steps 1"),
    f'{BIN} align examples/LJ001-0009.flac "Printing, then, for our purpose, may be considered" --format ctm': Run(
        check=words_are_timed
    ),
    f"{BIN} recipes": Run(check=prints_something),
    f"{BIN} show params tiny_audio_base": Run(check=prints_something),
    f"{BIN} show params hubert_xlarge_swiglu_qwen3_8b --as-seed": Run(check=prints_something),
    f"{BIN} samples --output-dir runs/samples": Run(check=names_files),
    f"{BIN} trace examples/LJ001-0009.flac -o runs/data_trace.html": Run(check=names_files),
    f"{BIN} explore projector examples/LJ001-0009.flac --output-dir runs/pictures": Run(check=prints_something),
    f"{BIN} explore lora --no-pictures": Run(check=prints_something),
    f"{BIN} serve --port {PORT}": Run(check=lambda *_: None),
    "curl -s -F file=@examples/LJ001-0009.flac -F response_format=srt"
    f" http://127.0.0.1:{PORT}/v1/audio/transcriptions": Run(check=lambda output, _: assert_subtitles(output)),
    f"{BIN} export tiny-audio-base --format transformers -o runs/for-transformers": Run(check=prints_something),
    f"{BIN} export tiny-audio-base --format onnx -o runs/for-onnx": Run(check=prints_something),
    f"{BIN} export tiny-audio-base --format gguf --llm-only -o runs/for-llama-cpp": Run(check=prints_something),
    f"{BIN} push tiny-audio-base --repo user/name --results runs/measured --dry-run --output-dir runs/push": Run(
        check=names_a_published_folder
    ),
    f"{BIN} eval tiny-audio-base --dataset examples --output-dir runs/measured": Run(
        check=prints_something, smaller="--max-samples 1"
    ),
    f'{BIN} leaderboard add runs/measured --hardware "2 CPU cores" -o runs/board/leaderboard.md': Run(
        check=prints_something
    ),
    f"{BIN} weights --verify": Run(check=prints_something),
}
ELSEWHERE = [
    "make run",
    "make test",
    "make docs",
    ".venv/bin/python docs/course/exercises/01_sound.py",
    ".venv/bin/pip install -c constraints.txt -e '.[demo]'",
    f"{BIN} demo --port 7860",
]
"""Tried by tests of their own: below, in `tests/docs` and `tests/demo`; what needs the network is not tried."""
PYTHON: dict[str, Callable[[str, Path], None]] = {
    "In Python": clips_are_understood,
    "Systems and their sizes": is_one_clip_written,
}


def test_every_command_of_readme_is_tried_and_no_other():
    written = [command for block in blocks("bash").values() for command in commands(block)]

    assert sorted(written) == sorted([*RUNS, *ELSEWHERE])
    assert list(blocks("python")) == list(PYTHON)


@pytest.fixture
def weights() -> None:
    """The frozen weights, which `make setup` fetches; a test does not."""
    missing = [spec.name for spec in DEFAULT_WEIGHTS if not is_cached(spec)]
    if missing:
        pytest.skip(f"not in the cache: {', '.join(missing)}; run `make setup`")


@pytest.fixture
def workspace(tmp_path, weights, monkeypatch) -> Iterator[Path]:
    """The current folder, which looks like the repository to the commands, with recordings of one's own."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "recordings").mkdir()
    for utterance in EXAMPLES:
        shutil.copy(utterance.audio, tmp_path / "recordings")
        (tmp_path / "recordings" / f"{utterance.audio.stem}.txt").write_text(utterance.text, encoding="utf-8")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/smoke_cpu.sh").symlink_to(ROOT / "runs/smoke_cpu.sh")
    general, check = (sorted(part, key=lambda one: one.duration) for part in replay_utterances())
    write_manifest(tmp_path / "data/own.jsonl", general[:12])
    (tmp_path / "sentences.txt").write_text("".join(f"{one.text}\n" for one in general[:13]), encoding="utf-8")
    monkeypatch.setattr(adaptation, "replay_utterances", lambda: (general[12:18], check[:3]))  # or it takes a minute
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("tiny_audio")
    before = logger.level, logger.handlers
    yield tmp_path
    logger.setLevel(before[0])
    logger.handlers = before[1]


@pytest.fixture
def microphone(tmp_path, monkeypatch) -> None:
    """An `arecord` that hears one of the examples."""
    samples = load_audio(ROOT / "examples/LJ001-0009.flac")
    (tmp_path / "samples").write_bytes((samples * 32767).astype(np.int16).tobytes())
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/arecord"
    program.write_text(f"#!/bin/sh\ncat '{tmp_path / 'samples'}'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Servers that a section starts; they are stopped with it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for server in started:
        server.terminate()
        assert server.wait(timeout=60) == 0


def start_server(command: str, port: int) -> subprocess.Popen[bytes]:
    """The server of a command, ready to answer."""
    server = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        time.sleep(0.2)
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
            return server
    raise AssertionError(f"{command}: not ready in two minutes")


def run_command(command: str, folder: Path) -> str:
    """Standard output of a command of README; pipes in a shell, others here, since importing torch takes seconds."""
    program, *words = shlex.split(command)
    if program != BIN or "|" in words:
        return shell(command, folder)
    files = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in words]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exit_code = cli.main([name for names in files for name in names])
    assert exit_code == 0, f"{command}\nexit code {exit_code}\n{output.getvalue()}"
    return output.getvalue()


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


SECTIONS = [heading for heading, block in blocks("bash").items() if not set(commands(block)) & set(ELSEWHERE)]


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_commands_of_a_section_work_one_after_the_other(workspace, microphone, servers, heading):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for command in commands(blocks("bash")[heading]):
        run = RUNS[command]
        command = command.replace(str(PORT), str(port))
        if " serve " in command:
            servers.append(start_server(command, port))
            continue
        run.check(run_command(f"{command} {run.smaller}", workspace), workspace)


@pytest.mark.parametrize("heading", PYTHON)
def test_the_python_of_readme_runs(workspace, capsys, heading):
    (workspace / "snippet.py").write_text(blocks("python")[heading], encoding="utf-8")
    capsys.readouterr()
    runpy.run_path("snippet.py", run_name="__main__")

    PYTHON[heading](capsys.readouterr().out, workspace)


def test_make_run_prints_the_words_of_the_examples_and_nothing_else(weights):
    if Path(sys.prefix) != ROOT / ".venv" or not (ROOT / ".venv/.installed").exists():
        pytest.skip("this is not the environment of `make setup`, and a test does not install one")

    clips_are_understood(shell("make run", ROOT), ROOT)


def test_make_test_has_all_four_parts():
    plan = shell("make --dry-run test", ROOT)

    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert f".venv/bin/{tool}" in plan


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    _, _, table = README.partition("| Extra |")

    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", table, re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(rows))) == set(project["optional-dependencies"])


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
        if {"pretrained", "replay"} & set(path.parts):
            folders = [folder for folder in folders if folder.count("/") <= 4 - ("pretrained" in path.parts)]
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
