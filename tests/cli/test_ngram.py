"""`tiny-audio ngram`: a checkpoint gets an n-gram model, decodes with it, and says what it cannot use."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_audio.cli import main
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import AuTConfig
from tiny_audio.text.ctc_units import CTCUnits


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = AuTConfig(n_mels=16, conv_channels=(16, 16, 16), num_layers=1, num_heads=2, ffn_dim=32, dropout=0.0)
    CTCModel(CTCConfig(encoder=sizes, head_upsample=2), CTCUnits.characters()).save(tmp_path / "model")
    return tmp_path / "model"


def test_texts_and_manifests_become_a_model_that_is_decoded_with(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "texts.txt").write_text("it is so\n\nso it is\nroom 7\n")
    utterance = Utterance(id="a", audio=tmp_path / "a.wav", duration=1.0, text="is it so")
    write_manifest(tmp_path / "m.jsonl", [utterance])
    texts = [str(tmp_path / "texts.txt"), str(tmp_path / "m.jsonl")]
    held_out = ["--held-out", str(tmp_path / "m.jsonl")]
    assert main(["ngram", str(checkpoint), *texts, "--order", "3", "--beams", "5", *held_out]) == 0
    out, err = capsys.readouterr()
    assert out == f"{checkpoint / 'ngram.arpa.gz'}\n"
    assert "on 1 texts: " in err
    fusion = CTCModel.load(checkpoint).fusion
    assert fusion is not None
    assert (fusion.ngram.order, fusion.config.num_beams) == (3, 5)
    assert fusion.ngram.log_prob(["<s>"], "i") > fusion.ngram.log_prob(["<s>"], "z")
    (hypothesis,) = CTCModel.load(checkpoint).transcribe_waveforms([np.zeros(16_000, np.float32)])
    assert hypothesis.log_prob is not None


def test_what_cannot_be_used_is_one_line(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty.txt").write_text("\n")
    assert main(["ngram", str(checkpoint), str(tmp_path / "empty.txt")]) == 1
    assert main(["ngram", str(checkpoint), str(tmp_path / "missing.txt")]) == 1
    assert main(["ngram", str(tmp_path), str(tmp_path / "empty.txt")]) == 1
    assert main(["ngram", str(checkpoint), str(tmp_path / "empty.txt"), "--order", "0"]) == 1
    assert main(["ngram", str(checkpoint), str(tmp_path / "empty.txt"), "--beams", "0"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert not list(checkpoint.glob("ngram*"))
