"""Each row of docs/course/seed-map.md runs; what is slow runs in small, as `Row` says."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seeds.conftest import Course, make_course
from tiny_audio import cli
from tiny_audio.weights.store import DEFAULT_WEIGHTS, is_cached

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "docs/course/seed-map.md").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Row:
    """How a command of the map is tried: with words in other words' place, words behind it, and what it prints."""

    prints: str
    replace: tuple[str, str] = ("", "")
    smaller: str = "--no-pictures"
    makes: tuple[str, ...] = ()


MINIATURE = "--model {checkpoint} {audio}"
"""In place of the shipped model, for what takes long in it: the chapters' own system in small."""
EXPLORE = "tiny-audio explore"
ROWS: dict[str, Row] = {
    "python3 --version": Row(prints="Python 3", smaller=""),
    "make --dry-run setup": Row(prints="tiny-audio weights", smaller=""),
    "git --version": Row(prints="git version", smaller=""),
    "tiny-audio samples --output-dir samples": Row(
        prints="LJ001-0009.flac", smaller="", makes=("samples/manifest.jsonl",)
    ),
    '.venv/bin/python -c "import tiny_audio; print(tiny_audio.__version__)"': Row(prints="0.", smaller=""),
    "tiny-audio weights": Row(prints="whisper-base", smaller=""),
    "tiny-audio eval tiny-audio-base --dataset loquacious --max-samples 100": Row(
        prints="Corpus WER", replace=("loquacious", "examples"), smaller="--max-samples 1"
    ),
    "tiny-audio trace examples/LJ001-0009.flac -o data_trace.html": Row(
        prints="data_trace.html", smaller="--model {checkpoint}", makes=("data_trace.html",)
    ),
    f"{EXPLORE} encoder --encoder openai/whisper-tiny": Row(
        prints="OUTPUT (Audio Embeddings)",
        replace=("openai/whisper-tiny", "{encoder}"),
        smaller="{audio} --no-pictures",
    ),
    f"{EXPLORE} audio": Row(
        prints="Sample rate: 16000 Hz",
        smaller=MINIATURE,
        makes=("audio_processing.png", "sample_rate_comparison.png", "noise_robustness.png"),
    ),
    f"{EXPLORE} audio --rate 8000 --rate 16000 --rate 32000 --rate 44100": Row(
        prints="44100 Hz", smaller=f"{MINIATURE} --no-pictures"
    ),
    f"{EXPLORE} encoder": Row(prints="Shape: [1, 378, 512]"),
    f"{EXPLORE} encoders": Row(
        prints="ENCODER COMPARISON", smaller="--encoder {encoder} {audio}", makes=("encoder_embeddings.png",)
    ),
    "tiny-audio show params hubert_xlarge_swiglu_qwen3_8b --as-seed": Row(prints="171,059,456", smaller=""),
    "tiny-audio show params tiny_audio_base": Row(prints="5,398,657", smaller=""),
    f"{EXPLORE} lora": Row(prints="1.97M"),
    f"{EXPLORE} attention": Row(prints="Mean distance", smaller="--encoder {encoder} {audio} --no-pictures"),
    f"{EXPLORE} projector": Row(prints="1. encoder         [1, 378, 512]"),
    f"{EXPLORE} downsampling --rate 2 --rate 3 --rate 5 --rate 8 --rate 10": Row(prints="149 to 19"),
    f"{EXPLORE} activations": Row(prints="ReGLU"),
    f"{EXPLORE} projector --output-dir pictures": Row(
        prints="STEPS",
        smaller=MINIATURE,
        makes=(
            "pictures/projection_stages.png",
            "pictures/dimension_importance.png",
            "pictures/embedding_distributions.png",
        ),
    ),
    f"{EXPLORE} projector --projector swiglu --rate 5": Row(prints="swiglu", smaller=f"{MINIATURE} --no-pictures"),
    f"{EXPLORE} configs": Row(prints="121,643,264"),
    f"{EXPLORE} decoders": Row(prints="Qwen3-8B"),
    "tiny-audio train align --train data/cache -o runs/align --print-config": Row(prints='"learning_rate"', smaller=""),
    f"{EXPLORE} data": Row(
        prints="Projector output", smaller=MINIATURE, makes=("encoder_output.png", "projector_output.png")
    ),
    "tiny-audio leaderboard runs -o runs/leaderboard.md": Row(prints="", smaller="", makes=("runs/leaderboard.md",)),
}
"""The exercises run in `test_exercises.py`, the demo in `tests/demo/`."""
ELSEWHERE = re.compile(r"\.venv/bin/python docs/course/exercises/\w+\.py|tiny-audio demo --model .+")


def rows() -> list[tuple[str, str, str]]:
    """Chapter, what it has, ours."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in MAP.splitlines() if line.startswith("|")]
    found = [tuple(row) for row in cells if re.fullmatch(r"\d{3}", row[0])]
    assert all(len(row) == 3 for row in found)
    return [(chapter, theirs, ours.strip("`")) for chapter, theirs, ours in found]


def test_the_map_is_what_is_tried() -> None:
    mapped = {ours for _, _, ours in rows()}
    elsewhere = {command for command in mapped if ELSEWHERE.fullmatch(command)}
    assert sorted(mapped - elsewhere) == sorted(ROWS)
    for command in elsewhere:
        if "exercises" in command:
            assert (ROOT / command.split()[-1]).is_file()
        else:
            cli._parse(shlex.split(command)[1:])


def test_no_script_of_the_chapters_is_missing() -> None:
    theirs = " ".join(text for _, text, _ in rows())
    scripts = (
        "explore_audio explore_hubert compare_encoders count_params lora_experiment trace_projector visualize_projector"
        " test_projector_config compare_decoders trace_data download_samples"
    )
    for name in scripts.split():
        assert f"{name}.py" in theirs


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return make_course(tmp_path_factory.mktemp("course"), "hubert", None)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that looks like the repository."""
    if missing := [spec.name for spec in DEFAULT_WEIGHTS if not is_cached(spec)]:
        pytest.skip(f"not in the cache: {', '.join(missing)}; run `make setup`")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name in ("examples", "Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ROWS)
def test_the_row_runs(command: str, workspace: Path, course: Course) -> None:
    row = ROWS[command]
    places = {"checkpoint": course.checkpoint, "encoder": course.encoder, "audio": course.audio}
    if "leaderboard" in command:
        shutil.copytree(evaluated_once(workspace), workspace / "runs/mine")
    words = shlex.split(f"{command.replace(*row.replace)} {row.smaller}".format(**places))
    output = run(words, workspace)

    assert row.prints in output
    for name in row.makes:
        assert (workspace / name).stat().st_size > 200, name


def run(words: list[str], folder: Path) -> str:
    """Standard output; our own command in this process, since importing torch takes seconds."""
    if words[0] != "tiny-audio":
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert cli.main(words[1:]) == 0, words
    return output.getvalue()


def evaluated_once(folder: Path) -> Path:
    """The result of an evaluation, of answers that are there already."""
    answers = folder / "answers.jsonl"
    texts = {path.stem: "printing" for path in (ROOT / "examples").glob("*.flac")}
    answers.write_text("".join(f'{{"id": "{name}", "text": "{text}"}}\n' for name, text in texts.items()))
    run(shlex.split(f"tiny-audio eval {answers} --dataset examples --output-dir evaluated"), folder)
    return folder / "evaluated"
