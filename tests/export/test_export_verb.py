"""`tiny-audio export`: what it writes is listed, and what cannot be is one line."""

from pathlib import Path

import pytest

from miniatures import miniature
from tiny_audio.cli import main
from tiny_audio.models.asr_config import ASRConfig, ProjectorConfig
from tiny_audio.models.asr_model import ASRModel


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    config = ASRConfig(projector=ProjectorConfig(kind="linear", aligned=False))
    ASRModel(miniature(config, tmp_path)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_files_are_listed_with_their_sizes(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "exported"

    assert main(["export", str(checkpoint), "--format", "gguf", "--llm-only", "-o", str(folder)]) == 0

    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [Path(path).name for path, _ in listed] == ["README.md", "model.gguf"]
    assert all(size.endswith(" MB") for _, size in listed)
    assert "# model for llama.cpp" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (["--format", "gguf"], 1, "llama.cpp has no form for the projector 'linear'"),
        (["--format", "onnx"], 1, "projector 'linear' is not aligned"),
        (["--format", "onnx", "--llm-only"], 2, "--llm-only is for --format gguf"),
        (["--format", "gguf", "--reference-bases"], 2, "--reference-bases is for --format transformers"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    exit_code: int,
    message: str,
) -> None:
    folder = tmp_path / "exported"

    assert main(["export", str(checkpoint), *options, "-o", str(folder)]) == exit_code

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"tiny-audio: error: {message}")
    assert output.err.count("\n") == 1
    assert not folder.exists()
