"""What a described recording says is what was done to it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_audio.cli import main
from tiny_audio.data.augment import rng_for
from tiny_audio.data.describe import described_clip
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.voices import speaker_sex
from tiny_audio.text.descriptions import FACTS, describe, read_facts

TEXT = "the quick brown fox jumps"  # 21 letters


def recording(duration: float = 1.5) -> np.ndarray:
    """A tone that comes and goes between half a second of silence on either side."""
    time = np.arange(round(duration * 16_000)) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 200 * time) * (np.sin(2 * np.pi * 3 * time) > -0.5)
    return np.pad(tone, 8_000).astype(np.float32)


def utterance(name: str = "a", text: str = TEXT, **extra) -> Utterance:
    return Utterance(id=name, audio=Path("a.wav"), duration=2.5, text=text, extra=extra)


def test_every_combination_of_facts_can_be_read_from_its_sentence():
    combinations: list[dict[str, str]] = [{}]
    for fact, values in FACTS.items():
        combinations += [{**one, fact: value} for one in combinations for value in values]
    legal = [one for one in combinations if ("noise level" in one) == (one.get("noise", "none") != "none")]
    assert len({describe(one) for one in legal}) == len(legal) == 3 * 4 * 3 * 3 * 10
    assert all(read_facts(describe(one)) == one for one in legal)
    assert read_facts("I hear a woman speak fast with loud hiss") == {}


def test_added_noise_is_as_loud_as_the_description_says():
    original = recording()
    seen = set()
    others = [np.sin(np.arange(16_000) * step).astype(np.float32) for step in (0.1, 0.2)]
    for number in range(200):
        waveform, facts = described_clip(utterance(clean=True), original, rng_for(0, number, "a"), others=others)
        quiet = waveform[:8_000] if facts["room"] == "dry" else None
        seen.add((facts["room"], facts["noise"], facts.get("noise level")))
        if quiet is None:
            continue
        snr_db = 20 * np.log10(np.std(waveform[10_000:14_000]) / max(np.std(quiet), 1e-9))
        expected = {"loud": (-1, 12), "faint": (13, 30), None: (60, 200)}[facts.get("noise level")]
        assert expected[0] < snr_db < expected[1]
    assert len(seen) == 2 * (1 + 4 * 2)


def test_a_room_has_a_distance_and_nobody_talks_in_the_background_of_a_lone_recording():
    known = [described_clip(utterance(clean=True), recording(), rng_for(0, number, "a"))[1] for number in range(60)]
    assert {one.get("distance") for one in known if one["room"] == "dry"} == {None}
    assert {one.get("distance") for one in known if one["room"] == "echoing"} == {"close", "far"}
    assert {one["noise"] for one in known} == {"none", "hiss", "rumble", "hum"}


def test_of_a_recording_nothing_is_said_that_is_not_known():
    original = recording()
    waveform, facts = described_clip(utterance(sex="female"), original, rng_for(0, 0, "a"))
    assert np.array_equal(waveform, original)
    assert facts == {"speaker": "woman", "pace": "normal"}
    assert described_clip(utterance(text="ten words"), original, rng_for(0, 0, "a"))[1] == {}
    assert described_clip(utterance(text="1 2 3 " + TEXT), original, rng_for(0, 0, "a"))[1] == {}


@pytest.mark.parametrize(("duration", "pace"), [(0.9, "fast"), (1.5, "normal"), (2.5, "slow")])
def test_the_pace_counts_letters_between_the_first_and_the_last_sound(duration: float, pace: str):
    assert described_clip(utterance(), recording(duration), rng_for(0, 0, "a"))[1] == {"pace": pace}


def test_the_command_writes_a_manifest_of_tasks_and_lists_what_it_skipped(tmp_path: Path, capsys):
    soundfile.write(tmp_path / "a.wav", recording(), 16_000)
    known = Utterance(id="x/1", audio=tmp_path / "a.wav", duration=2.5, text=TEXT, extra={"sex": "male", "clean": True})
    unknown = Utterance(id="y", audio=tmp_path / "a.wav", duration=2.5, text="")
    write_manifest(tmp_path / "m.jsonl", [known, unknown])
    command = ["data", "describe", str(tmp_path / "m.jsonl"), "--copies", "2"]

    assert main([*command, "-o", str(tmp_path / "one")]) == 1
    assert "2 clips, 1 recordings skipped" in capsys.readouterr().err
    assert list(json.loads((tmp_path / "one" / "skipped.json").read_text())) == ["y"]
    clips = read_manifest(tmp_path / "one" / "manifest.jsonl")
    assert [clip.task for clip in clips] == ["describe"] * 2
    assert all(read_facts(clip.response)["speaker"] == "man" for clip in clips)
    assert [clip.text for clip in clips] == [TEXT] * 2
    assert all(abs(soundfile.info(clip.audio).duration - clip.duration) < 0.01 for clip in clips)

    main([*command, "-o", str(tmp_path / "two")])
    names = sorted(path.name for path in (tmp_path / "one" / "audio").iterdir())
    for name in names:
        one, two = (soundfile.read(tmp_path / folder / "audio" / name)[0] for folder in ("one", "two"))
        assert np.array_equal(one, two)
    assert main([*command[:-1], "0", "-o", str(tmp_path / "three")]) == 2
    assert main(["data", "describe", *[str(tmp_path / "m.jsonl")] * 2, "-o", str(tmp_path / "four")]) == 1
    assert "found id 'x/1' twice" in capsys.readouterr().err
    assert not (tmp_path / "four").exists()
    write_manifest(tmp_path / "alike.jsonl", [known, replace(known, id="x_1")])
    assert main(["data", "describe", str(tmp_path / "alike.jsonl"), "-o", str(tmp_path / "four")]) == 1
    assert "twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("speaker", "sex"),
    [
        ("flite-rms", "male"),
        ("hibari-heart", "female"),
        ("espeak-en-gb+f3", "female"),
        ("espeak-en-us+m7", "male"),
        ("kokoro-af_heart", "female"),
        ("kokoro-am_adam:0.3+bm_lewis", "male"),
        ("kokoro-af_heart:0.3+bm_lewis", None),
        ("somebody", None),
    ],
)
def test_sex_of_a_voice(speaker: str, sex: str | None):
    assert speaker_sex(speaker) == sex
