"""The exported graph and its reader: the drafts of `Recognizer`, without torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from miniatures import noise
from tiny_audio.audio.io import load_audio
from tiny_audio.errors import ExportError, OutputError
from tiny_audio.export.onnx_export import check_exportable, export_onnx
from tiny_audio.export.onnx_recognizer import OnnxRecognizer, collapse_greedy
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.models.asr_config import ASRConfig, EncoderConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.ctc import collapse
from tiny_audio.text.token_bytes import token_bytes
from tiny_models import TINY_CONFIG, WORDS, tiny_asr_model, word_tokenizer

SPEECH = [Path(__file__).parents[2] / "examples" / name for name in ("LJ001-0009.flac", "LJ001-0120.flac")]
CONFIG: ASRConfig = replace(TINY_CONFIG, draft_only=True, llm=replace(TINY_CONFIG.llm, training="frozen", lora=None))


def sure_model() -> ASRModel:
    """One that is as sure of what it writes as a trained one."""
    model = tiny_asr_model(CONFIG)
    with torch.no_grad():
        model.projector.down.weight *= 30
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    path = tmp_path_factory.mktemp("onnx") / "exported"
    export_onnx(sure_model(), path)
    return path


@pytest.mark.parametrize("num_samples", [1600, 16_001, 48_000, 480_000])
def test_every_length_gives_the_draft_of_the_recogniser(folder: Path, num_samples: int) -> None:
    waveform = noise(num_samples, seed=num_samples)
    (expected,) = Recognizer(sure_model(), mode="fast").transcribe_waveforms([waveform])

    (found,) = OnnxRecognizer(folder).transcribe_waveforms([waveform])

    assert expected.draft or num_samples == 1600  # a tenth of a second is one frame
    assert (found.draft, found.text, found.no_speech) == (expected.draft, expected.text, expected.no_speech)
    assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-2)


def test_the_folder_transcribes_a_long_file_without_torch_and_without_this_package(
    folder: Path, tmp_path: Path
) -> None:
    audio = tmp_path / "long.wav"
    soundfile.write(audio, np.concatenate([load_audio(path) for path in SPEECH] * 2), 16_000)
    expected = Transcriber(Recognizer(sure_model(), mode="fast")).transcribe(audio)
    assert len(expected.segments) > 1
    assert expected.text
    script = folder / "run_onnx.py"
    program = (
        "import sys, runpy; sys.modules.update(torch=None, transformers=None, tiny_audio=None); "
        f"sys.argv = ['run_onnx.py', {str(audio)!r}, 'missing.wav']; sys.path.insert(0, {str(folder)!r}); "
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 1, done.stderr
    assert done.stdout == expected.text + "\n"
    assert done.stderr.splitlines() == ["run_onnx.py: error: 'missing.wav': no such file"]


def test_token_bytes_write_what_the_tokenizer_decodes() -> None:
    tokenizer = word_tokenizer()
    text = f" {WORDS[0]} \u00e9\u20ac {WORDS[2]}"
    token_ids = tokenizer.encode(text, add_special_tokens=False)

    tokens = token_bytes(tokenizer, len(tokenizer) + 2)  # tables are sometimes larger than the vocabulary

    assert b"".join(tokens[token] for token in token_ids).decode() == text
    assert tokens[tokenizer.eos_token_id] == b""
    assert tokens[-2:] == [b"", b""]


def test_collapse_is_that_of_the_recogniser() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ids, blanks = rng.integers(0, 3, 12).tolist(), (rng.random(12) < 0.3).tolist()
        path = [-1 if blank else token for token, blank in zip(ids, blanks, strict=True)]

        assert collapse_greedy(ids, blanks) == collapse(path, -1)


def test_what_has_no_such_graph_is_refused() -> None:
    plain = replace(CONFIG, draft_only=False, projector=replace(CONFIG.projector, kind="linear", aligned=False))
    with pytest.raises(ExportError, match="projector 'linear' is not aligned"):
        check_exportable(tiny_asr_model(plain))
    aut = {"conv_channels": [8, 8, 16], "num_layers": 1, "num_heads": 2, "ffn_dim": 32, "projector_dim": None}
    other = replace(CONFIG, encoder=EncoderConfig(family="aut", source=None, architecture=aut), encoder_dim=16)
    with pytest.raises(ExportError, match="encoder 'aut' cannot be written as ONNX"):
        check_exportable(tiny_asr_model(other))


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(OutputError, match="exists and is not empty"):
        export_onnx(sure_model(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_without_a_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps([]))

    with pytest.raises(ExportError, match=r"has no model\.onnx; expected a folder"):
        OnnxRecognizer(tmp_path)
