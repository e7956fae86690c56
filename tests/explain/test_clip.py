"""Which part of a recording is looked at."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import tone
from tiny_audio.errors import AudioError, ConfigError
from tiny_audio.explain.clip import read_clip
from tiny_audio.explain.samples import DEFAULT_SAMPLE, samples_folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech, again and again, until 70 s are full."""
    speech, rate = soundfile.read(samples_folder() / DEFAULT_SAMPLE, dtype="float32")
    path = tmp_path_factory.mktemp("recording") / "long.wav"
    soundfile.write(path, np.resize(speech, 70 * rate), rate)
    return path


def test_a_short_recording_is_taken_whole_at_any_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", tone(duration=2.0, sample_rate=44_100), 44_100)
    clip = read_clip(tmp_path / "a.ogg")
    assert (clip.is_whole, clip.start, clip.name) == (True, 0.0, "a.ogg")
    assert clip.duration == pytest.approx(2.0, abs=0.01)


def test_of_a_long_one_the_first_chunk_with_speech(recording: Path) -> None:
    clip = read_clip(recording)
    assert not clip.is_whole
    assert 0.1 <= clip.duration <= 15.0
    samples, _ = soundfile.read(recording, dtype="float32")
    first = round(clip.start * 16_000)
    np.testing.assert_array_equal(clip.waveform, samples[first : first + len(clip.waveform)])


def test_the_part_that_is_asked_for(recording: Path) -> None:
    samples, _ = soundfile.read(recording, dtype="float32")
    clip = read_clip(recording, start=40.0, duration=2.5)
    np.testing.assert_array_equal(clip.waveform, samples[640_000:680_000])
    assert (clip.start, clip.is_whole) == (40.0, False)
    assert read_clip(recording, start=60.0).duration == pytest.approx(10.0)
    assert read_clip(recording, duration=3.0).duration == 3.0


def test_times_that_are_none(recording: Path) -> None:
    with pytest.raises(ConfigError, match="30 s"):
        read_clip(recording, duration=31.0)
    with pytest.raises(ConfigError, match="0 or more"):
        read_clip(recording, start=-1.0)
    with pytest.raises(AudioError, match=r"70\.00 s"):
        read_clip(recording, start=80.0)


def test_of_a_long_one_without_speech_a_part_has_to_be_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(40 * 16_000, np.float32), 16_000)
    with pytest.raises(AudioError, match="--start"):
        read_clip(tmp_path / "silence.wav")
    assert read_clip(tmp_path / "silence.wav", duration=1.0).duration == 1.0
