"""Forced alignment of recordings: a model that hears each word as a tone finds where they are, whatever the length."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from fakes import tone
from tiny_audio.cli import main
from tiny_audio.errors import AudioError, CheckpointError, UnitsError
from tiny_audio.inference import forced_alignment
from tiny_audio.inference.alignment_formats import ALIGNMENT_FORMATS, Alignment
from tiny_audio.inference.forced_alignment import AlignedCTC, UnitCTC, align_text, cut_points, load_ctc
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import AuTConfig
from tiny_audio.models.words import Word
from tiny_audio.text.ctc_units import CTCUnits
from tiny_models import TINY_CONFIG, tiny_asr_model

HERTZ = {"one": 300.0, "two": 600.0, "three": 1200.0}
WORDS = list(HERTZ)
FRAME = 1280


class ToneCTC:
    """Hears in each 80 ms which of the tones begins there; all else is blank."""

    frame_duration = 0.08

    def __init__(self) -> None:
        self.pieces: list[int] = []

    def encode(self, words: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        return [[1 + WORDS.index(word)] if word in WORDS else [] for word in words], []

    def log_probs(self, waveform: NDArray[np.float32], distinct: Sequence[int]) -> NDArray[np.float32]:
        self.pieces.append(len(waveform))
        before, rows = 0, []
        for frame in waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME):
            heard = 0
            if np.abs(frame).max() > 0.05:
                hertz = np.argmax(np.abs(np.fft.rfft(frame))) * 16_000 / FRAME
                heard = 1 + int(np.argmin([abs(hertz - each) for each in HERTZ.values()]))
            column = 1 + list(distinct).index(heard) if heard in distinct and heard != before else 0
            rows.append([-0.01 if index == column else -9.0 for index in range(1 + len(distinct))])
            before = heard
        return np.array(rows, np.float32)


def speak(words: Sequence[str], *, pause: float = 0.4) -> tuple[np.ndarray, list[float]]:
    """Each word as a tone of 0.4 s with a pause behind it, and where they begin."""
    parts, starts, length = [], [], 0
    for word in words:
        starts.append(length / 16_000)
        time = np.arange(6400) / 16_000
        parts += [0.3 * np.sin(2 * np.pi * HERTZ[word] * time), np.zeros(round(pause * 16_000))]
        length += len(parts[-2]) + len(parts[-1])
    quiet = np.random.default_rng(0).normal(0, 1e-4, length)
    return (np.concatenate(parts) + quiet).astype(np.float32), starts


@pytest.mark.parametrize("num_words", [3, 120], ids=["short", "over a minute"])
def test_words_are_found_where_they_are_said(num_words: int):
    said = [WORDS[index % 3] for index in range(num_words)]
    waveform, starts = speak(said)
    ctc = ToneCTC()
    words = align_text(ctc, waveform, " ".join(said))
    assert [word.text for word in words] == said
    assert max(abs(word.start - start) for word, start in zip(words, starts, strict=True)) <= 0.12
    assert all(word.start <= word.end for word in words)
    assert all(left.end <= right.start + 1e-9 for left, right in pairwise(words))
    assert min(word.confidence for word in words) > 0.9
    assert max(ctc.pieces) <= 28 * 16_000
    assert sum(ctc.pieces) == len(waveform)


def test_pieces_are_whole_frames_and_end_in_pauses():
    waveform, starts = speak([WORDS[index % 3] for index in range(120)])
    points = cut_points(waveform, FRAME)
    assert starts[1] - starts[0] == pytest.approx(0.8)  # 0.4 s of tone, 0.4 s of pause
    assert (points[0], points[-1]) == (0, len(waveform))
    assert len(points) > 3
    for point in points[1:-1]:
        assert point % FRAME == 0
        assert point / 16_000 % 0.8 >= 0.4
    steady = tone(duration=65.0)
    cuts = cut_points(steady, FRAME)
    assert all(14.9 <= (end - start) / 16_000 <= 28 for start, end in pairwise(cuts[:-1]))


def test_marks_that_nobody_says_share_the_time_around_them():
    waveform, _ = speak(["one", "two"])
    words = align_text(ToneCTC(), waveform, "one -- two")
    assert [word.text for word in words] == ["one", "--", "two"]
    assert words[1].confidence == 0
    assert words[0].start <= words[1].start <= words[2].start
    assert align_text(ToneCTC(), waveform, "") == []
    assert [word.confidence for word in align_text(ToneCTC(), waveform, "... !")] == [0, 0]


def test_a_text_that_cannot_be_in_the_audio_is_refused_with_the_numbers():
    waveform, _ = speak(["one"])
    with pytest.raises(AudioError, match=r"10 CTC frames \(0\.80 s\), too few for 30 tokens"):
        align_text(ToneCTC(), waveform, " ".join(WORDS * 10))


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_a_checkpoint_of_ctc_gives_units_and_their_probabilities(kind: str, tmp_path: Path):
    texts = ["so it is", "is it so", "it is so"]
    units = CTCUnits.characters() if kind == "char" else CTCUnits.train_bpe(texts, num_units=40)
    torch.manual_seed(0)
    sizes = AuTConfig(n_mels=16, conv_channels=(16, 16, 16), num_layers=1, num_heads=2, ffn_dim=32, dropout=0.0)
    CTCModel(CTCConfig(encoder=sizes, head_upsample=2), units).save(tmp_path)
    ctc = load_ctc(tmp_path)
    assert isinstance(ctc, UnitCTC)
    assert ctc.frame_duration == 0.04
    rows, separator = ctc.encode("so it is".split())
    joined = [unit for row in rows for unit in [*row, *separator]][: -len(separator) or None]
    assert joined == units.encode("so it is")
    waveform = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    words = align_text(ctc, waveform, "So it, is!")
    assert [word.text for word in words] == ["So", "it,", "is!"]
    assert 0 <= words[0].start <= words[-1].end <= 2.0
    with pytest.raises(UnitsError, match="no unit for '7'"):
        align_text(ctc, waveform, "room 7")


def test_an_aligned_projector_needs_no_language_model():
    ctc = AlignedCTC(tiny_asr_model())
    assert ctc.frame_duration == 0.08
    waveform = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    rows, _ = ctc.encode(["one", "two,"])
    log_probs = ctc.log_probs(waveform, sorted({token for row in rows for token in row}))
    assert len(log_probs) in (37, 38)  # a last frame that is not whole may count
    assert (log_probs <= 1e-4).all()
    assert [word.text for word in align_text(ctc, waveform, "one two, three")] == ["one", "two,", "three"]


# -- formats


ALIGNMENT = Alignment(
    id="a b",
    duration=3.0,
    grid=0.08,
    words=[
        Word(text='say "it"', start=0.5, end=1.0, confidence=0.987),
        Word(text="now", start=1.0, end=1.0, confidence=0.0),
        Word(text="é", start=1.5, end=2.25, confidence=1.0),
    ],
)


def test_json_states_the_grid():
    row = json.loads(ALIGNMENT_FORMATS["json"](ALIGNMENT))
    assert (row["id"], row["duration"], row["grid"]) == ("a b", 3.0, 0.08)
    assert row["words"][2] == {"text": "é", "start": 1.5, "end": 2.25, "confidence": 1.0}


def test_ctm_has_a_line_a_word():
    lines = ALIGNMENT_FORMATS["ctm"](ALIGNMENT).splitlines()
    assert lines[2] == "a_b 1 1.500 0.750 é 1.000"
    assert len(lines) == 3


def test_a_textgrid_covers_the_whole_recording():
    text = ALIGNMENT_FORMATS["textgrid"](ALIGNMENT)
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    edges = [float(line.split()[-1]) for line in text.splitlines() if line.startswith("            xm")]
    starts, ends = edges[::2], edges[1::2]
    assert (starts[0], ends[-1]) == (0.0, 3.0)
    assert starts[1:] == ends[:-1]
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert text.count("intervals [") == 5
    assert 'text = "say ""it"""' in text
    empty = ALIGNMENT_FORMATS["textgrid"](Alignment(id="x", duration=1.0, grid=0.08, words=[]))
    assert "intervals: size = 1" in empty


# -- the command


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = AuTConfig(n_mels=16, conv_channels=(16, 16, 16), num_layers=1, num_heads=2, ffn_dim=32, dropout=0.0)
    CTCModel(CTCConfig(encoder=sizes, head_upsample=2), CTCUnits.characters()).save(tmp_path / "model")
    return tmp_path / "model"


def test_one_recording_and_a_manifest(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    soundfile.write(tmp_path / "a.wav", tone(duration=2.0), 16_000)
    (tmp_path / "a.txt").write_text("so it\nis\n")
    assert main(["align", str(tmp_path / "a.wav"), str(tmp_path / "a.txt"), "--model", str(checkpoint)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert ([word["text"] for word in row["words"]], row["grid"]) == (["so", "it", "is"], 0.04)
    lines = [
        {"id": "x/1", "audio": "a.wav", "duration": 2.0, "text": "it is"},
        {"id": "2", "audio": "a.wav", "duration": 2.0, "text": "so " * 100},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["align", str(tmp_path / "m.jsonl"), "--model", str(checkpoint), "--format", "ctm"]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["x/1", "x/1"]
    assert "align: 2: the audio has 50 CTC frames" in err
    arguments = ["align", str(tmp_path / "m.jsonl"), "--model", str(checkpoint), "--format", "textgrid"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x_1.TextGrid"]
    assert main(arguments) == 2


def test_a_projector_without_ctc_knows_no_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = replace(TINY_CONFIG, projector=replace(TINY_CONFIG.projector, kind="mlp", aligned=False))
    monkeypatch.setattr(forced_alignment, "load_without_llm", lambda _: (tiny_asr_model(config), {}))
    with pytest.raises(CheckpointError, match="has no CTC, so it knows no times"):
        load_ctc("anything")


def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["align", "a.wav"]) == 2
    assert main(["align", "m.jsonl", "text"]) == 2
    assert main(["align", "a.wav", "no-such.txt"]) == 1
    assert "Traceback" not in capsys.readouterr().err
