import json

import numpy as np
import pytest
import soundfile

from tiny_audio.cli import main
from tiny_audio.data.manifest import read_manifest
from tiny_audio.models import whisper_decoder


class EchoTeacher:
    """Says one word for each tenth of a second, so that the text shows which samples it was given."""

    def transcribe(self, waveforms, *, fast=False):
        return [" ".join(["word"] * round(len(waveform) / 1600)) if waveform.any() else "" for waveform in waveforms]


@pytest.fixture
def label(tmp_path, monkeypatch):
    """Labels a manifest of these rows; every row gets two seconds of sound if it has no audio of its own."""
    monkeypatch.setattr(whisper_decoder.WhisperTranscriber, "from_cache", EchoTeacher)

    def run(rows, *options):
        folder = tmp_path / "recordings"
        (folder / "audio").mkdir(parents=True)
        soundfile.write(folder / "audio/sound.wav", np.full(32_000, 0.1, np.float32), 16_000)
        soundfile.write(folder / "audio/silence.wav", np.zeros(32_000, np.float32), 16_000)
        rows = [{"audio": "audio/sound.wav", "duration": 0.5, "text": "", **row} for row in rows]
        (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        output = tmp_path / "elsewhere/out.jsonl"
        assert main(["data", "label", str(folder / "in.jsonl"), "-o", str(output), "--batch", "2", *options]) == 0
        return read_manifest(output), read_manifest(output.with_suffix(".dropped.jsonl"))

    return run


def test_every_field_but_the_text_is_kept_in_the_same_order(label):
    kept, dropped = label(
        [
            {"id": "b", "duration": 0.5, "speaker": "ann", "note": 7},
            {"id": "a", "duration": 0.2, "start": 0.3},
            {"id": "c", "duration": 0.4, "text": "ignored"},
        ]
    )
    assert [(u.id, u.text, u.duration, u.start) for u in kept] == [
        ("b", "word word word word word", 0.5, 0.0),
        ("a", "word word", 0.2, 0.3),
        ("c", "word word word word", 0.4, 0.0),
    ]
    assert (kept[0].speaker, kept[0].extra) == ("ann", {"note": 7})
    assert all(u.audio.is_file() for u in kept)
    assert dropped == []


def test_what_cannot_be_trusted_is_dropped_with_its_reason(label):
    kept, dropped = label(
        [
            {"id": "agrees", "other": "Word word word, word word!"},
            {"id": "nearly", "other": "word word word word words"},
            {"id": "differs", "other": "word word wort wort word"},
            {"id": "alone"},
            {"id": "silent", "audio": "audio/silence.wav", "other": "word"},
            {"id": "missing", "audio": "audio/none.wav", "other": "word"},
            {"id": "long", "duration": 31.0, "other": "word"},
        ],
        "--agree-field",
        "other",
        "--max-disagreement",
        "0.2",
    )
    assert [u.id for u in kept] == ["agrees", "nearly"]
    reasons = {u.id: u.extra["dropped"] for u in dropped}
    assert list(reasons) == ["differs", "alone", "silent", "missing", "long"]
    for name, reason in {
        "differs": "word error rate 0.400",
        "alone": "no text in field 'other'",
        "silent": "empty text",
        "missing": "none.wav",
        "long": "31.00 s",
    }.items():
        assert reason in reasons[name]
