"""Filling a feature cache: in parts or at once the same, announced before, and nothing cut off."""

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_audio.data.augment import augment, rng_for
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.errors import OutputError
from tiny_audio.models.encoders.log_mel import LogMelEncoder
from tiny_audio.training.feature_extraction import cache_features

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    found = []
    for number in range(5):
        audio = tmp_path / f"{number}.wav"
        soundfile.write(audio, np.random.default_rng(number).normal(0, 0.1, 8_000 + 800 * number), 16_000)
        found.append(Utterance(id=f"u{number}", audio=audio, duration=0.5 + 0.05 * number, text="text", speaker="ann"))
    return found


def fill(folder: Path, utterances: list[Utterance], *, max_samples: int | None = None, **options):
    encoder = LogMelEncoder(n_mels=8)
    encoder.max_samples = max_samples
    return cache_features(utterances, encoder, folder, meta={}, **options)


def contents(folder: Path) -> dict[str, list]:
    cache = FeatureCache(folder)
    return {one.id: [one.text, one.duration, cache.features(one).tolist()] for one in cache}


def test_parts_of_several_processes_are_the_same_cache(tmp_path: Path, utterances):
    fill(tmp_path / "whole", utterances, copies=2, augmented=True, seed=3)
    for number in (2, 3, 1):
        report = fill(tmp_path / "parts", utterances, copies=2, augmented=True, seed=3, part=(number, 3))
        assert report.already_stored == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "whole")) == 10


def test_size_is_announced_before_and_is_right(tmp_path: Path, utterances):
    lines: list[str] = []
    fill(tmp_path / "cache", utterances * 1, announce=lines.append)
    size = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.f16"))
    assert size == sum(int(one.duration * 100) for one in utterances) * 8 * 2
    assert lines == [f"5 utterances, 0.00 h: {size / 1e9:.2f} GB"]


def test_the_time_is_announced_as_soon_as_the_speed_is_known(tmp_path: Path, utterances, monkeypatch):
    monkeypatch.setattr("tiny_audio.training.feature_extraction._PROBE_DURATION", 0.5)
    lines: list[str] = []
    fill(tmp_path / "cache", utterances, announce=lines.append)
    assert [line.partition("x ")[2] for line in lines[1:]] == ["real time: about 0 min more"]


def test_a_disk_that_is_too_small_is_one_line_before_any_work(tmp_path: Path, utterances, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total=10, used=9, free=1_000))
    with pytest.raises(OutputError, match=r"0\.00 GB of features, but 0\.00 GB are free; choose another disk"):
        fill(tmp_path / "cache", utterances)
    assert not list((tmp_path / "cache").glob("*.f16"))


def test_a_copy_that_is_played_slowly_keeps_its_end(tmp_path: Path, utterances):
    """It was cut at what the encoder takes, and its text was not."""
    limit = 9_700
    fits = [one for one in utterances if one.duration * 16_000 <= limit]
    report = fill(tmp_path / "cache", utterances, copies=30, augmented=True, max_samples=limit)
    assert len(report.skipped) == 30 * (len(utterances) - len(fits))
    cache = FeatureCache(tmp_path / "cache")
    longest = max(round(one.duration * 16_000) for one in cache)
    assert limit - 10 <= longest <= limit
    waveform, _ = soundfile.read(fits[-1].audio, dtype="float32")
    free = [len(augment(waveform, rng_for(0, copy, fits[-1].id))) for copy in range(30)]
    assert max(free) > limit  # so some had to be played less slowly
    assert {round(one.duration * 16_000) for one in cache if one.id.startswith(f"{fits[-1].id}#")} >= {
        length for length in free if length < limit
    }


def test_the_command_verifies_a_finished_cache(tmp_path: Path, utterances, capsys):
    from tiny_audio.cli import main

    fill(tmp_path / "cache", utterances)
    write_manifest(tmp_path / "all.jsonl", utterances)
    assert main(["data", "cache", "--verify", "-o", str(tmp_path / "cache")]) == 0
    assert "5 utterances, 0.00 h, intact" in capsys.readouterr().err
    (file,) = (tmp_path / "cache").glob("*.f16")
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    assert main(["data", "cache", "--verify", "-o", str(tmp_path / "cache")]) == 1
    assert main(["data", "cache", "-o", str(tmp_path / "cache")]) == 2
    assert main(["data", "cache", "--verify", str(tmp_path / "all.jsonl"), "-o", str(tmp_path / "cache")]) == 2
    assert main(["data", "cache", str(tmp_path / "all.jsonl"), "--shard", "3/2", "-o", str(tmp_path / "cache")]) == 2
