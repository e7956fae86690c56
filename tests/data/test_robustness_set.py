from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import tone
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.robustness_set import RobustnessClip, robustness_clips, write_robustness_set
from tiny_audio.errors import ManifestError


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A manifest of one utterance with text and one without."""
    soundfile.write(tmp_path / "a.wav", 0.5 * tone(duration=1.0), 16_000)
    path = tmp_path / "speech.jsonl"
    audio = tmp_path / "a.wav"
    rows = [Utterance(id="x/1", audio=audio, duration=1.0, text="hi there")]
    write_manifest(path, [*rows, Utterance(id="2", audio=audio, duration=1.0, text="")])
    return path


def whole(clip: RobustnessClip) -> np.ndarray:
    return np.concatenate(list(clip.blocks()))


def short(clips: list[RobustnessClip]) -> list[RobustnessClip]:
    return [clip for clip in clips if clip.name != "silence-1h"]


def test_every_clip_is_sound_of_its_own_layout_and_within_full_scale(speech: Path) -> None:
    clips = short(list(robustness_clips(speech=read_manifest(speech)[:1])))
    names = [clip.name for clip in clips]
    assert len(set(names)) == len(names) > 20
    for clip in clips:
        samples = whole(clip)
        assert samples.dtype == np.float32, clip.name
        assert samples.shape[1:] == (() if clip.num_channels == 1 else (clip.num_channels,)), clip.name
        assert np.abs(samples).max() <= 1.0, clip.name
        assert np.isfinite(samples).all(), clip.name
        assert clip.is_speech == bool(clip.text)


def test_the_same_seed_gives_the_same_samples_and_another_one_others() -> None:
    first, again, other = (short(list(robustness_clips(seed=seed))) for seed in (0, 0, 1))
    for left, right in zip(first, again, strict=True):
        np.testing.assert_array_equal(whole(left), whole(right), err_msg=left.name)
        np.testing.assert_array_equal(whole(left), whole(left), err_msg=left.name)
    changed = {
        left.name for left, right in zip(first, other, strict=True) if not np.array_equal(whole(left), whole(right))
    }
    assert {clip.name for clip in first} - changed == {"silence", "offset"}


def test_an_hour_of_silence_is_made_piece_by_piece() -> None:
    (clip,) = (clip for clip in robustness_clips() if clip.name == "silence-1h")
    lengths = [len(block) for block in clip.blocks() if not block.any()]
    assert sum(lengths) == 3600 * 16_000
    assert max(lengths) <= 60 * 16_000


def test_damaged_speech_keeps_its_text_and_its_length(speech: Path) -> None:
    clips = {
        clip.name.removesuffix("-x_1"): clip
        for clip in robustness_clips(speech=read_manifest(speech)[:1])
        if clip.is_speech
    }
    assert {clip.text for clip in clips.values()} == {"hi there"}
    assert {len(whole(clip)) / clip.sample_rate for name, clip in clips.items() if name != "in-silence"} == {1.0}
    flipped = whole(clips["phase-flipped"])
    np.testing.assert_array_equal(flipped.sum(axis=1), 0.0)
    assert np.abs(flipped).max() > 0.1
    clipped = np.abs(whole(clips["clipped"]))
    assert (clipped > 0.99 * clipped.max()).mean() > 0.3
    assert clips["8khz"].sample_rate == 8_000


def test_written_files_and_manifest_agree(speech: Path, tmp_path: Path) -> None:
    path = write_robustness_set(tmp_path / "set", speech)
    rows = {row.id: row for row in read_manifest(path)}
    assert {clip.name for clip in robustness_clips(speech=read_manifest(speech)[:1])} == set(rows)
    for row in rows.values():
        info = soundfile.info(row.audio)
        assert info.frames / info.samplerate == pytest.approx(row.duration)
        assert bool(row.text) == row.id.endswith("-x_1")
    assert rows["silence-1h"].duration == 3600.0
    assert rows["silence-1h"].audio.stat().st_size < 2_000_000
    assert rows["click-50ms"].duration == 0.05


def test_speech_without_any_text_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "none.jsonl", [])
    with pytest.raises(ManifestError, match="no utterance has a text"):
        write_robustness_set(tmp_path / "set", tmp_path / "none.jsonl")
