from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import AudioError


@pytest.fixture
def ramp(tmp_path) -> Path:
    """Two seconds whose sample values tell where they are."""
    path = tmp_path / "ramp.wav"
    soundfile.write(path, np.linspace(0, 1, 32_000, endpoint=False, dtype=np.float32), 16_000, subtype="FLOAT")
    return path


def utterance(audio: Path, *, start: float, duration: float) -> Utterance:
    return Utterance(id="u", audio=audio, duration=duration, text="", start=start)


def test_start_and_duration_choose_a_part_of_the_recording(ramp):
    waveform = load_waveform(utterance(ramp, start=0.5, duration=1.0))

    assert len(waveform) == 16_000
    assert waveform[0] == pytest.approx(0.25)


def test_the_end_of_a_recording_is_kept_although_its_duration_was_rounded(ramp):
    assert len(load_waveform(utterance(ramp, start=0.0, duration=1.9))) == 32_000


def test_the_first_utterance_of_a_long_recording_is_not_the_whole_recording(ramp):
    assert len(load_waveform(utterance(ramp, start=0.0, duration=0.5))) == 8_000


@pytest.mark.parametrize("start", [1.95, 2.0, 60.0])
def test_an_utterance_beyond_the_end_of_its_recording_is_refused(ramp, start):
    with pytest.raises(AudioError, match=r"lasts 2\.00 s; the utterance at"):
        load_waveform(utterance(ramp, start=start, duration=1.0))
