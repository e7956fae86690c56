"""Bulk transcription on two real Ray workers; only the model is a fake. Without Ray, what needs none is tested."""

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from fakes import FakeHypothesis, FakeSpeechModel, tone
from tiny_audio import errors
from tiny_audio.audio.vad import VadOptions
from tiny_audio.cli import main
from tiny_audio.cli import transcribe as cli
from tiny_audio.errors import (
    AudioTruncatedError,
    CheckpointError,
    ClusterError,
    OutputError,
    TinyAudioError,
    UnknownNameError,
)
from tiny_audio.inference.jobs import Job, find_sources, plan_jobs
from tiny_audio.inference.ray_engine import transcribe_on_ray, unfinished_jobs
from tiny_audio.inference.results import Transcript
from tiny_audio.inference.transcriber import ModelOnDemand, Transcriber

RATE = 16_000
ENERGY = VadOptions(kind="energy")  # silero does not take tones for speech


@pytest.fixture(scope="module")
def ray() -> Iterator[ModuleType]:
    """Ray with two cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # for the fakes
        patch.delenv("OMP_NUM_THREADS", raising=False)  # Ray sets it where the user has not
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield ray
        ray.shutdown()


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "load_on_demand", lambda *_, **__: FakeSpeechModel())


def transcribe(*words: object) -> int:
    return main(["transcribe", "--vad", "energy", *map(str, words)])


def wav(path: Path, samples: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


def corpus(folder: Path, num_files: int) -> Path:
    for number in range(num_files):
        hertz = 300 + 50 * number
        wav(folder / f"speaker{number % 2}" / f"{number:02d}.wav", tone(duration=0.5 + number / 8, hertz=hertz))
    return folder


def plan(folder: Path, out: Path) -> list[Job]:
    return plan_jobs(find_sources([str(folder)], recursive=True), out, [])


def shards(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("shard-*")}


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for text in shards(folder).values() for line in text.splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(str(row["audio"]) for row in rows(folder))


def test_it_gives_what_the_local_engine_gives(
    ray: ModuleType,
    fake_model: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus(Path("in"), 12)
    wav(Path("in/silence.wav"), np.zeros(2 * RATE))
    wav(Path("in/cut.wav"), tone(duration=3.0)).write_bytes(Path("in/cut.wav").read_bytes()[:100_000])
    Path("in/text.wav").write_text("These are words, not sounds.\n")
    Path("in/empty.wav").touch()
    words = ["in", "missing.wav", "--recursive", "-f", "txt,json,srt", "--word-timestamps"]

    def run(*more: str) -> tuple[int, dict[str, str], list[str]]:
        exit_code = transcribe(*words, *more)
        out = Path(more[1])
        output = capfd.readouterr()
        assert output.out == ""
        files = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*.*") if path.is_file()}
        lines = [line for line in output.err.splitlines() if line.startswith("tiny-audio: ")]
        return exit_code, {name: text for name, text in files.items() if "shard-" not in name}, sorted(lines)

    local = run("-o", "local")
    on_ray = run("-o", "ray", "--engine", "ray")

    assert on_ray == local
    assert on_ray[0] == 1
    assert len(on_ray[1]) == 3 * 14
    assert {line.split("'")[1] for line in on_ray[2]} == {"in/empty.wav", "in/text.wav", "missing.wav", "in/cut.wav"}
    assert len(shards(Path("ray"))) > 2
    for row in rows(Path("ray")):  # each is what the file of its own says
        relative = Path(str(row.pop("audio"))).relative_to(tmp_path / "in").with_suffix(".json")
        assert row == json.loads(local[1][str(relative)])
    assert len(rows(Path("ray"))) == 14


def test_each_worker_loads_the_model_once_and_keeps_to_its_core(ray: ModuleType, tmp_path: Path) -> None:
    def load() -> object:
        class Witness:
            def transcribe_waveforms(self, waveforms):
                text = f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}"
                return [FakeHypothesis(text=text, draft="") for _ in waveforms]

        (tmp_path / f"loaded-{os.getpid()}-{time.monotonic_ns()}").touch()
        return Witness()

    jobs = plan(corpus(tmp_path / "in", 12), tmp_path)

    results = list(transcribe_on_ray(Transcriber(ModelOnDemand(load), vad=ENERGY), jobs, tmp_path))

    assert sorted(job.source.audio for job, _ in results) == sorted(job.source.audio for job in jobs)
    answers = [outcome.text.split() for _, outcome in results if isinstance(outcome, Transcript)]
    processes = {process for process, _ in answers}
    assert {threads for _, threads in answers} == {"1"}
    assert str(os.getpid()) not in processes
    assert sorted(path.name.split("-")[1] for path in tmp_path.glob("loaded-*")) == sorted(processes)


def test_a_second_run_goes_on_where_the_first_was_killed(
    ray: ModuleType, fake_model: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = corpus(tmp_path / "in", 16), tmp_path / "out"
    code = (
        "import sys, time; from fakes import FakeSpeechModel; from tiny_audio.cli import main, transcribe\n"
        "class Slow(FakeSpeechModel):\n"
        "    def transcribe_waveforms(self, waveforms):\n"
        "        time.sleep(0.7)\n"
        "        return super().transcribe_waveforms(waveforms)\n"
        "transcribe.load_on_demand = lambda *_, **__: Slow()\n"
        "main(sys.argv[1:])"
    )
    words = ["transcribe", "--vad", "energy", str(folder), "--recursive", "--engine", "ray", "-o", str(out)]
    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    process = subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stderr=subprocess.DEVNULL)
    while not shards(out) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    first = shards(out)
    assert 0 < len(names(out)) < 16

    late = tmp_path / "late.wav"  # what failed is tried again
    assert main([*words, str(late)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"17 files: {16 - len(''.join(first.values()).splitlines())} done, 1 failed, ")
    assert first.items() <= shards(out).items()
    assert names(out) == sorted(str(path) for path in folder.rglob("*.wav"))

    wav(late, tone(duration=1.0))
    assert (
        main([*words, str(late), "-f", "txt"]) == 0
    )  # files of their own are written for all, shards only for the new
    assert len(list(out.rglob("*.txt"))) == 17
    assert names(out) == sorted(str(path) for path in tmp_path.rglob("*.wav"))

    capsys.readouterr()
    assert main([*words, str(late), "-f", "txt"]) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("17 files: 0 done, 0 failed, 17 skipped; ")


def test_a_model_that_cannot_be_loaded_is_one_line_and_3(
    ray: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise CheckpointError("no checkpoint 'x'")

    monkeypatch.setattr(cli, "load_on_demand", lambda *_, **__: ModelOnDemand(fail))

    assert transcribe(corpus(tmp_path, 4), "-o", tmp_path, "--recursive", "--engine", "ray", "--quiet") == 3

    assert capsys.readouterr() == ("", "tiny-audio: error: no checkpoint 'x'\n")


def test_a_file_that_kills_its_worker_costs_its_block_only(ray: ModuleType, tmp_path: Path) -> None:
    def load() -> object:
        class Mortal(FakeSpeechModel):
            def transcribe_waveforms(self, waveforms):
                hypotheses = super().transcribe_waveforms(waveforms)
                if "tone400" in hypotheses[0].text:
                    os._exit(1)
                return hypotheses

        return Mortal()

    jobs = plan(corpus(tmp_path / "in", 6), tmp_path)

    outcomes = {
        Path(job.source.audio).name: outcome
        for job, outcome in transcribe_on_ray(Transcriber(ModelOnDemand(load), vad=ENERGY), jobs, tmp_path)
    }

    assert [name for name, outcome in outcomes.items() if isinstance(outcome, ClusterError)] == ["02.wav"]
    assert len(outcomes) == 6
    assert [Path(job.source.audio).name for job in unfinished_jobs(jobs, tmp_path)] == ["02.wav"]


@pytest.mark.parametrize(
    ("device", "num_threads", "needs"), [("auto", 64, "64 CPUs and 0 GPUs"), ("cuda", 1, "1 CPUs and 1 GPUs")]
)
def test_no_room_for_a_worker_is_an_error_and_not_a_wait(
    device: str, num_threads: int, needs: str, ray: ModuleType, tmp_path: Path
) -> None:
    jobs = plan(corpus(tmp_path / "in", 1), tmp_path)
    transcriber = Transcriber(FakeSpeechModel())

    with pytest.raises(ClusterError, match=f"a worker needs {needs} on one machine"):
        list(transcribe_on_ray(transcriber, jobs, tmp_path, device=device, num_threads=num_threads))


# Without Ray


def test_without_ray_it_says_how_to_install_it(
    fake_model: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    assert transcribe(wav(tmp_path / "a.wav", tone(duration=1.0)), "--engine", "ray", "-o", tmp_path) == 3

    assert capsys.readouterr() == (
        "",
        "tiny-audio: error: 'ray' is not installed; run `pip install 'tiny-audio[ray]'`\n",
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--engine", "ray"], "--engine ray needs -o DIR"),
        (["--engine", "ray", "-o", "out", "--overwrite"], "name a new one to start again"),
        (["--engine", "ray", "-o", "out", "-"], "cannot read standard input"),
        (["--workers", "2"], "--workers is for --engine ray"),
    ],
)
def test_wrong_usage_is_2(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcribe("a.wav", *words) == 2

    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        AudioTruncatedError("a.wav", "half of it"),
        OutputError("a.txt", "disk full"),
        UnknownNameError("mode", "x", known=["y"]),
        errors.ConfigError(["one", "two"]),
        errors.MissingExtraError("ray", "ray"),
    ],
)
def test_errors_survive_the_way_from_a_worker(error: TinyAudioError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
