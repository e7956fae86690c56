"""A run is pushed to a hub on loopback, and another process, with caches of its own, fetches and uses it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hub_server import StandInHub
from miniatures import miniature, noise, train_adapters
from tiny_audio.cli import main
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models.asr_config import ASRConfig, LLMConfig, LoRAConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.weights.store import cache_folder

REPO = "somebody/words"
TWICE = """
import sys
from tiny_audio.cli import main
for _ in range(2):
    assert main(sys.argv[1:]) == 0
"""
LOAD = """
import sys
import numpy as np
from tiny_audio.inference.recognizer import Recognizer
name, waveform = sys.argv[1:]
recognizer = Recognizer.from_pretrained(name, dtype="float32", device="cpu")
(hypothesis,) = recognizer.transcribe_waveforms([np.load(waveform)])
print(hypothesis.draft + "|" + hypothesis.text)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training run: a checkpoint, what was logged, what it was trained on, and an evaluation."""
    home = tmp_path_factory.mktemp("training")
    folder = home / "run"
    model = ASRModel(miniature(ASRConfig(llm=LLMConfig(training="lora", lora=LoRAConfig())), home))
    train_adapters(model)
    with torch.no_grad():  # as sure of what it writes as a trained one
        model.projector.down.weight.normal_(std=0.5)
    model.save_pretrained(folder / "best", dtype=torch.float32)
    manifest = home / "own" / "train.jsonl"
    manifest.parent.mkdir()
    rows = [
        {"id": str(i), "audio": f"{i}.wav", "duration": 90.0, "text": "a", "speaker": f"s{i % 3}", "licence": "CC0-1.0"}
        for i in range(20)
    ]
    manifest.write_text("".join(json.dumps(row | {"language": "en"}) + "\n" for row in rows))
    config = {"objective": "correct", "init": "/home/me/runs/align/best", "train": [str(manifest), "/gone/away*2"]}
    (folder / "config.json").write_text(json.dumps(config | {"optim": {"max_steps": 40}, "seed": 3}))
    (folder / "environment.json").write_text(json.dumps({"torch": "2.13.0", "machine": "x86_64", "threads": 2}))
    lines = [{"step": step, "loss": 3 / step} for step in (20, 40)] + [{"step": 40, "wer/dev": 0.214}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_results(folder / "eval", model=str(folder / "best"), wer=0.1234)
    return folder


def write_results(folder: Path, *, model: str, wer: float, dataset: str = "/sets/lj/dev.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "settings": {"max_samples": None},
        "model": model,
        "dataset": dataset,
        "normalizer": "whisper-english",
        "scorer": "leaderboard (kaldialign 0.12.0)",
        "num_utterances": 1_234,
        "wer": wer,
        "wer_interval": [wer - 0.01, wer + 0.01],
        "rtfx": 12.3,
        "num_failed": 0,
        "audio_seconds": 3_600.0,
    }
    (folder / "results.json").write_text(json.dumps(values))
    return folder / "results.json"


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as server:
        yield server


def dry_run(model: Path, folder: Path, *options: str) -> int:
    return main(["push", str(model), "--repo", REPO, "--dry-run", "--output-dir", str(folder), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_dry_run_writes_is_sent_once_and_loads_elsewhere(run: Path, hub: StandInHub, tmp_path: Path) -> None:
    import numpy as np

    assert dry_run(run, tmp_path / "dry") == 0
    command = ["push", str(run), "--repo", REPO, "--private"]
    with_weights = hub.environment(tmp_path / "home", TINY_AUDIO_CACHE=str(cache_folder()))
    done = subprocess.run([sys.executable, "-c", TWICE, *command], capture_output=True, text=True, env=with_weights)

    assert done.returncode == 0, done.stderr
    repository = hub.repositories[REPO]
    sent = dict(repository.files)
    assert sent.pop(".gitattributes")
    assert sent == contents(tmp_path / "dry")
    assert repository.private
    assert len(repository.commits) == 2  # the empty one, and one push: the second had nothing to send
    first, second = done.stdout.splitlines()
    assert first == second == f"{hub.url}/{REPO}/commit/{repository.head}"

    np.save(tmp_path / "speech.npy", noise(15_000))
    here = Recognizer.from_pretrained(run / "best", dtype="float32", device="cpu")
    (expected,) = here.transcribe_waveforms([noise(15_000)])
    assert expected.draft
    clean = hub.environment(tmp_path / "elsewhere")
    load = [sys.executable, "-c", LOAD, f"{REPO}@{repository.head}", str(tmp_path / "speech.npy")]
    elsewhere = subprocess.run(load, capture_output=True, text=True, env=clean)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert elsewhere.stdout.strip() == f"{expected.draft}|{expected.text}".strip()
    fetched = {line.rsplit("/", 1)[-1] for line in hub.requests if line.startswith("GET") and "/resolve/" in line}
    assert "model.safetensors" in fetched
    assert not any(name.endswith(".py") for name in fetched)


def test_the_card_says_what_the_files_say_and_calls_the_rest_unknown(run: Path, tmp_path: Path) -> None:
    assert dry_run(run, tmp_path / "dry", "--checkpoint-only") == 1  # its frozen parts lie here only
    assert dry_run(run, tmp_path / "dry", "--license", "apache-2.0") == 0

    card = (tmp_path / "dry" / "README.md").read_text()
    head, _, text = card.removeprefix("---\n").partition("\n---\n")
    assert 'license: "apache-2.0"' in head
    assert 'language: ["en"]' in head
    assert "| lj/dev | default | 1,234 | 1.00 | **12.34 %** | 11.3 – 13.3 % | 0 | 12.3 | leaderboard" in text
    assert "| own/train.jsonl | 0.50 | 20 | 3 | CC0-1.0 |" in text
    assert "| gone/away*2 | unknown | unknown | unknown | unknown |" in text
    assert "tiny-audio train correct --init align/best --train own/train.jsonl 'gone/away*2' -o run --set" in text
    assert "optim.max_steps=40 seed=3\n" in text
    assert "- Hardware: x86_64, 2 threads\n- Commit: unknown\n" in text
    assert "| 40 | 0.075 | 21.4% |" in text
    assert "trust_remote_code=True" in text
    assert "/home/me" not in card  # nobody's disk
    assert str(tmp_path.parent) not in card
    metrics = tmp_path / "dry" / "training" / "metrics.jsonl"
    assert metrics.read_bytes() == (run / "metrics.jsonl").read_bytes()


def test_only_results_of_the_model_count_and_only_whole_sets_go_to_the_leaderboard(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = write_results(tmp_path / "mine", model=REPO, wer=0.05, dataset="leaderboard-librispeech")
    other = write_results(tmp_path / "other", model="whisper-base", wer=0.01)
    assert dry_run(run, tmp_path / "a", "--results", str(other)) == 1
    assert "holds no result of" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()

    assert dry_run(run, tmp_path / "b", "--results", str(mine)) == 0

    entries = (tmp_path / "b" / ".eval_results" / "open_asr_leaderboard.yaml").read_text()
    assert "id: hf-audio/open-asr-leaderboard" in entries
    assert "task_id: librispeech" in entries
    assert "value: 5.0\n" in entries
    assert entries.count("value:") == 1  # the other set is not one of the leaderboard's


def test_stale_files_of_an_earlier_push_go_and_files_of_others_stay(hub: StandInHub, tmp_path: Path) -> None:
    hub.publish(REPO, {"old_module.py": b"pass", "encoder/model.safetensors": b"old", "notes.md": b"mine"})
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with hub.refusing(f"POST /api/models/{REPO}/commit"):
        failed = upload(hub, folder, tmp_path)
    assert failed.returncode == 1
    assert "PublishError: the hub refuses the push to 'somebody/words' (" in failed.stderr.splitlines()[-1]
    assert len(hub.repositories[REPO].commits) == 1

    assert upload(hub, folder, tmp_path).returncode == 0
    assert set(hub.repositories[REPO].files) == {"config.json", "notes.md"}

    public = upload(hub, folder, tmp_path, private=True)
    assert "is there already, and public" in public.stderr.splitlines()[-1]
    stranger = upload(hub, folder, tmp_path, HF_TOKEN="hf_of_nobody")
    assert "log in with `hf auth login`" in stranger.stderr.splitlines()[-1]


def upload(
    hub: StandInHub, folder: Path, home: Path, *, private: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    code = f"""
from pathlib import Path
from tiny_audio.publishing.upload import upload
upload(Path({str(folder)!r}), {REPO!r}, private={private})
"""
    environment = hub.environment(home, **environment)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (["--repo", "words"], 1, "found the repository 'words'; expected user/name"),
        (["--repo", REPO, "--dry-run"], 2, "--dry-run and --output-dir go together"),
    ],
)
def test_a_repository_must_be_named_in_full(
    options: list[str], exit_code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", "tiny-audio-base", *options]) == exit_code
    assert capsys.readouterr().err == f"tiny-audio: error: {message}\n"
