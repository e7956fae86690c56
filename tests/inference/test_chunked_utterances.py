"""Parts of a long recording: all words in order, cut in pauses, none too long; what is dropped is counted."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tiny_audio.cli import main
from tiny_audio.data.manifest import Utterance, read_manifest
from tiny_audio.inference.chunked_utterances import chunk_utterance
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import AuTConfig
from tiny_audio.models.words import Word
from tiny_audio.text.ctc_units import CTCUnits

LONG = Utterance(id="talk", audio=Path("talk.wav"), duration=100.0, text="", start=5.0, extra={"room": "hall"})


def spoken(seed: int, *, silence: float = 0.0) -> list[Word]:
    """Words of 0.1 to 0.8 s with pauses of up to half a second, and once a silence."""
    rng = np.random.default_rng(seed)
    words, time = [], 1.0
    while time < 90:
        end = time + rng.uniform(0.1, 0.8)
        words.append(Word(text=f"w{len(words)}", start=time, end=end, confidence=float(rng.uniform(0, 1))))
        time = end + rng.uniform(0, 0.5) + (silence if len(words) == 30 else 0.0)
    return words


@pytest.mark.parametrize("max_duration", [3.0, 8.0, 30.0, 200.0])
@pytest.mark.parametrize("silence", [0.0, 25.0])
def test_parts_have_all_words_in_order_and_none_is_too_long(max_duration: float, silence: float):
    words = spoken(1, silence=silence)
    parts = chunk_utterance(LONG, words, max_duration=max_duration)
    assert " ".join(part.text for part in parts) == " ".join(word.text for word in words)
    assert all(0 < part.duration <= max_duration + 1e-6 for part in parts)
    assert all(left.start + left.duration <= right.start + 2e-3 for left, right in pairwise(parts))
    assert parts[0].start >= LONG.start
    assert len({part.id for part in parts}) == len(parts)
    assert all(part.audio == LONG.audio and part.extra["room"] == "hall" for part in parts)
    first = 0
    for part in parts:
        said = words[first : first + len(part.text.split())]
        assert part.start <= LONG.start + said[0].start + 1e-3
        assert LONG.start + said[-1].end <= part.start + part.duration + 2e-3
        assert part.extra["confidence"] == pytest.approx(np.mean([word.confidence for word in said]), abs=1e-3)
        first += len(said)
    if max_duration == 200:
        assert len(parts) == 1


def test_the_cut_is_where_the_pause_is_longest_and_silence_is_left_out():
    words = [Word(text=str(n), start=n * 1.0, end=n * 1.0 + 0.9, confidence=1.0) for n in range(12)]
    words = [replace(word, start=word.start + 9, end=word.end + 9) if n >= 7 else word for n, word in enumerate(words)]
    parts = chunk_utterance(LONG, words, max_duration=10.0)
    assert [part.text for part in parts] == ["0 1 2 3 4 5 6", "7 8 9 10 11"]
    assert parts[0].duration == pytest.approx(7.2)
    assert parts[1].start == pytest.approx(LONG.start + 16.0 - 0.3)
    assert chunk_utterance(LONG, [], max_duration=10.0) == []
    (wrong,) = chunk_utterance(LONG, [Word(text="a", start=0.0, end=50.0, confidence=0.1)], max_duration=10.0)
    assert wrong.duration > 50


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A long recording, a short one, and one with far more text than sound."""
    torch.manual_seed(0)
    sizes = AuTConfig(n_mels=16, conv_channels=(16, 16, 16), num_layers=1, num_heads=2, ffn_dim=32, dropout=0.0)
    CTCModel(CTCConfig(encoder=sizes, head_upsample=2), CTCUnits.characters()).save(tmp_path / "model")
    rng = np.random.default_rng(0)
    texts = {"long": "so it is and was " * 8, "short": "so", "wrong": "far too many words " * 60}
    rows = []
    for name, duration in (("long", 24.0), ("short", 2.0), ("wrong", 6.0)):
        soundfile.write(tmp_path / f"{name}.wav", rng.normal(0, 0.05, round(duration * 16_000)), 16_000)
        rows.append({"id": name, "audio": f"{name}.wav", "duration": duration, "text": texts[name].strip()})
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_command_cuts_what_is_long_and_lists_what_it_leaves_out(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "chunk", str(corpus / "all.jsonl"), "--model", str(corpus / "model"), "--max-duration", "5"]
    output = corpus / "out" / "short.jsonl"
    assert main([*command, "-o", str(output)]) == 1
    written = capsys.readouterr()
    assert written.out == f"{output}\n"
    assert "2 of 3 utterances cut" in written.err
    kept, dropped = read_manifest(output), read_manifest(output.with_suffix(".dropped.jsonl"))
    assert [one.id for one in dropped if "too few for" in one.extra["dropped"]] == ["wrong"]
    parts = [one for one in [*kept, *dropped] if one.id.startswith("long-")]
    assert sorted(part.id for part in parts) == [f"long-{n + 1:04d}" for n in range(len(parts))]
    assert sum(len(part.text.split()) for part in parts) == 40
    assert any(one.id == "short" for one in kept)
    assert all(one.audio.is_file() and one.duration <= 5 for one in kept)

    assert main([*command, "-o", str(output), "--min-confidence", "1"]) == 1
    assert [one.id for one in read_manifest(output)] == ["short"]
    assert "below 1" in output.with_suffix(".dropped.jsonl").read_text()
    assert main([*command, "-o", str(output), "--max-duration", "0"]) == 2

    lines = (corpus / "all.jsonl").read_text().splitlines(keepends=True)
    (corpus / "all.jsonl").write_text("".join(line for line in lines if '"wrong"' not in line))
    assert main([*command, "-o", str(output), "--max-duration", "20", "--min-confidence", "1"]) == 0
    assert all("below 1" in one.extra["dropped"] for one in read_manifest(output.with_suffix(".dropped.jsonl")))
