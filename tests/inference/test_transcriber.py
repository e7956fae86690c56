import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import FakeHypothesis, FakeSpeechModel, tone
from tiny_audio.audio.vad import VadOptions
from tiny_audio.errors import AudioError, ConfigError, UnknownNameError
from tiny_audio.inference.batching import plan_batches, run_in_batches
from tiny_audio.inference.results import Transcript
from tiny_audio.inference.transcriber import ModelOnDemand, Progress, Transcriber
from tiny_audio.models.words import Word

RATE = 16_000
SILENCE = np.zeros(32_000, np.float32)
ENERGY = VadOptions(kind="energy", max_speech_duration_s=30.0)  # silero does not take tones for speech


def transcriber(model: object | None = None, **options: object) -> Transcriber:
    return Transcriber(model or FakeSpeechModel(), **{"vad": ENERGY, **options})  # type: ignore[arg-type]


def speech(*pitches: float, duration: float = 12.0) -> np.ndarray:
    """One tone after another with a pause of one second between."""
    parts: list[np.ndarray] = []
    for pitch in pitches:
        parts += [tone(duration=duration, hertz=pitch), np.zeros(16_000, np.float32)]
    return np.concatenate(parts[:-1])


class Says:
    """A model with one answer to everything."""

    def __init__(self, hypothesis: object) -> None:
        self.hypothesis = hypothesis

    def transcribe_waveforms(self, waveforms: Sequence[object]) -> list[object]:
        return [self.hypothesis] * len(waveforms)


def test_one_short_clip() -> None:
    transcript = transcriber().transcribe(tone(duration=2.0), sample_rate=16_000)

    assert transcript.text == "tone440"
    assert transcript.draft == "draft440"
    assert transcript.duration == 2.0
    (segment,) = transcript.segments
    assert (segment.start, segment.end, segment.text) == (0.0, 2.0, "tone440")


def test_long_audio_is_joined_in_order_with_single_spaces_and_real_times() -> None:
    model = FakeSpeechModel()

    transcript = transcriber(model).transcribe(speech(300, 500, 700, 900, 1100, duration=17.0), sample_rate=16_000)

    assert transcript.text == "tone300 tone500 tone700 tone900 tone1100"
    assert [round(segment.end) for segment in transcript.segments] == [18, 36, 54, 72, 89]
    assert transcript.duration == 89.0
    assert transcript.segments[-1].end == 89.0
    assert all(length <= 30.0 for batch in model.batches for length in batch)


def test_silence_gives_an_empty_transcript_without_asking_the_model() -> None:
    model = FakeSpeechModel()

    transcript = transcriber(model).transcribe(SILENCE, sample_rate=16_000)

    assert (transcript.text, transcript.no_speech, transcript.duration) == ("", True, 2.0)
    assert model.batches == []


@pytest.mark.parametrize("num_samples", [0, 1, 160, 1599])
@pytest.mark.parametrize("vad", [ENERGY, VadOptions(kind="none")])
def test_audio_too_short_to_hold_a_word_is_no_speech(num_samples: int, vad: VadOptions) -> None:
    model = FakeSpeechModel()

    transcript = transcriber(model, vad=vad).transcribe(tone(duration=1.0)[:num_samples], sample_rate=16_000)

    assert (transcript.text, transcript.no_speech, transcript.duration) == ("", True, num_samples / RATE)
    assert model.batches == []


def test_where_the_model_hears_no_speech_there_is_no_text() -> None:
    deaf = Says(FakeHypothesis(text="thank you for watching", draft="", no_speech=True))

    transcript = transcriber(deaf).transcribe(tone(duration=1.0), sample_rate=16_000)

    assert (transcript.text, transcript.no_speech) == ("", True)


@dataclass(frozen=True)
class RichHypothesis:
    text: str = "one two"
    draft: str = "one too"
    no_speech: bool = False
    avg_logprob: float = -0.3
    no_speech_prob: float = 0.1
    flagged: bool = True
    words: tuple[Word, ...] = (
        Word(text="one", start=0.1, end=0.5, confidence=0.9),
        Word(text="two", start=0.5, end=99.0, confidence=0.4),
    )


def test_what_the_model_knows_of_a_text_comes_with_it_and_words_have_times_in_the_audio() -> None:
    waveform = np.concatenate([np.zeros(10 * RATE, np.float32), tone(duration=2.0)])

    # Two seconds of silence are heard before the tone, of which 0.4 are the segment's.
    words = tuple(replace(word, start=word.start + 1.6, end=word.end + 1.6) for word in RichHypothesis().words)

    (segment,) = transcriber(Says(RichHypothesis(words=words))).transcribe(waveform, sample_rate=RATE).segments

    assert (segment.avg_logprob, segment.no_speech_prob, segment.flagged) == (-0.3, 0.1, True)
    assert segment.start == pytest.approx(9.6, abs=0.05)
    assert [word.start - segment.start for word in segment.words] == pytest.approx([0.1, 0.5])
    assert segment.words[1].end == segment.end == 12.0


def test_a_batch_gives_the_same_as_one_at_a_time_in_the_order_of_the_input() -> None:
    waveforms = [tone(duration=3, hertz=300), speech(400, 500, 600), SILENCE, tone(duration=0.5, hertz=700)]

    together = transcriber().transcribe_batch(waveforms)

    assert together == [transcriber().transcribe_batch([waveform])[0] for waveform in waveforms]
    assert together[1].text.startswith("tone400")
    assert together[2].text == ""


@pytest.mark.parametrize("max_batch_duration", [1.0, 7.0, 60.0, 10_000.0])
def test_the_size_of_batches_makes_no_difference(max_batch_duration: float) -> None:
    rng = np.random.default_rng(0)
    waveforms = [tone(duration=rng.uniform(0.05, 40), hertz=100 * n) for n in range(2, 22)]

    outcomes = transcriber(max_batch_duration=max_batch_duration).transcribe_batch(waveforms)

    assert outcomes == [transcriber().transcribe(waveform, sample_rate=RATE) for waveform in waveforms]


def test_line_breaks_of_the_model_become_spaces() -> None:
    verbose = Says(FakeHypothesis(text=" one\n\ntwo\tthree ", draft="one"))

    assert transcriber(verbose).transcribe(tone(duration=1.0), sample_rate=16_000).text == "one two three"


def test_nothing_in_gives_nothing() -> None:
    assert transcriber().transcribe_batch([]) == []
    assert list(transcriber().transcribe_many([])) == []


def test_segments_come_one_by_one_and_are_those_of_the_transcript() -> None:
    waveform = speech(300, 500, 700, 900, 1100, duration=17.0)
    model = FakeSpeechModel()
    lazy = transcriber(model, max_batch_duration=30.0)

    segments = lazy.transcribe_iter(waveform, sample_rate=RATE)
    first = next(segments)

    assert len(model.batches) < 5
    assert (first, *segments) == transcriber().transcribe(waveform, sample_rate=RATE).segments


def test_progress_tells_every_segment() -> None:
    seen: list[Progress] = []

    transcript = transcriber().transcribe(speech(300, 500, 700, duration=17.0), sample_rate=RATE, progress=seen.append)

    assert tuple(progress.segment for progress in seen) == transcript.segments
    assert {progress.header_duration for progress in seen} == {transcript.duration}


def test_one_bad_source_does_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "good.wav"
    soundfile.write(path, tone(duration=1.0), RATE)
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")

    first, second, third, fourth = transcriber().transcribe_many([path, bad, "missing.wav", path])

    assert isinstance(first, Transcript)
    assert first == fourth
    assert isinstance(second, AudioError)
    assert isinstance(third, AudioError)
    with pytest.raises(AudioError, match="no such file"):
        list(transcriber().transcribe_iter("missing.wav"))
    with pytest.raises(AudioError, match="no such file"):
        transcriber().transcribe("missing.wav")


def test_sources_are_opened_only_when_they_are_needed() -> None:
    opened: list[int] = []

    def sources() -> object:
        for index in range(1000):
            opened.append(index)
            yield b"no sound"

    outcomes = transcriber().transcribe_many(sources())  # type: ignore[arg-type]

    assert isinstance(next(outcomes), AudioError)
    assert opened == [0]


def test_damaged_audio_is_transcribed_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    samples = tone(duration=4.0)
    samples[100] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])

    transcript = transcriber().transcribe(path)

    assert transcript.text == "tone440"
    assert transcript.duration == pytest.approx(3.0, abs=0.01)
    cut, nan = transcript.warnings
    assert "3.0 s of audio, but its header promises 4.0 s" in cut
    assert "1 NaN or infinite samples" in nan


def test_hotwords_reach_a_model_that_takes_them_and_only_such() -> None:
    class Biased(FakeSpeechModel):
        heard: Sequence[str] = ()

        def transcribe_waveforms(self, waveforms: object, *, hotwords: Sequence[str] = ()) -> list[FakeHypothesis]:
            self.heard = hotwords
            return super().transcribe_waveforms(waveforms)  # type: ignore[arg-type]

    model = Biased()
    transcriber(ModelOnDemand(lambda: model)).transcribe(tone(duration=1.0), sample_rate=RATE, hotwords=["Ada"])
    assert model.heard == ["Ada"]
    with pytest.raises(ConfigError, match="cannot be told hotwords"):
        transcriber().transcribe(tone(duration=1.0), sample_rate=RATE, hotwords=["Ada"])


def test_a_mode_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown mode 'fats'.*Did you mean 'fast'"):
        Transcriber.from_pretrained(mode="fats")  # type: ignore[arg-type]


# Batches


def test_batches_hold_similar_sizes_up_to_a_limit_of_padded_size() -> None:
    sizes = [1, 20, 2, 19, 1, 18, 3, 1, 2]

    batches = plan_batches(sizes, 40)

    assert [[sizes[index] for index in batch] for batch in batches] == [[20, 19], [18, 3], [2, 2, 1, 1, 1]]


def test_an_item_larger_than_the_limit_goes_alone() -> None:
    assert plan_batches([2, 3], 1) == [[1], [0]]


@pytest.mark.parametrize("seed", range(10))
def test_items_come_back_in_order_with_their_own_results(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 9, size=100).tolist()
    taken = 0
    held: list[int] = []

    def items() -> object:
        nonlocal taken
        for item in enumerate(sizes):
            taken += item[1]
            yield item

    def run(batch: list[tuple[int, int]]) -> list[int]:
        assert all(size for _, size in batch)
        return [10 * index for index, _ in batch]

    done = 0
    results = []
    for (index, size), result in run_in_batches(
        items(),
        run=run,
        size_of=lambda item: item[1],
        max_size=12,
        lookahead=30,  # type: ignore[arg-type, var-annotated]
    ):
        held.append(taken - done)
        done += size
        results.append((index, result))

    assert results == [(index, 10 * index if size else None) for index, size in enumerate(sizes)]
    assert max(held) <= 30 + 9


# Memory


def test_an_hour_from_disk_needs_the_memory_of_minutes(tmp_path: Path) -> None:
    """An hour at 48 kHz is 690 MB as float32; peak memory must not grow with the length."""
    path = tmp_path / "hour.wav"
    minute = np.concatenate([tone(duration=20.0, sample_rate=48_000), np.zeros(40 * 48_000)])
    with soundfile.SoundFile(path, "w", 48_000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(minute)
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from fakes import FakeSpeechModel, tone
from tiny_audio.audio.vad import VadOptions
from tiny_audio.inference.transcriber import Transcriber
transcriber = Transcriber(FakeSpeechModel(), vad=VadOptions(kind="energy", max_speech_duration_s=30.0))
transcriber.transcribe(tone(duration=60.0), sample_rate=16_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
transcript = transcriber.transcribe({str(path)!r})
assert transcript.duration == 3600.0
assert transcript.text.split() == ["tone440"] * 60, transcript.text
assert [round(segment.start) % 60 for segment in transcript.segments[1:]] == [0] * 59
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MB
