import numpy as np
import pytest

from fakes import FakeHypothesis, FakeSpeechModel, tone
from tiny_audio.errors import AudioError
from tiny_audio.inference.transcriber import Transcriber

SILENCE = np.zeros(32_000, np.float32)


def speech(*pitches: float, duration: float = 12.0) -> np.ndarray:
    """One tone after another with a pause of one second between."""
    parts: list[np.ndarray] = []
    for pitch in pitches:
        parts += [tone(duration=duration, hertz=pitch), np.zeros(16_000, np.float32)]
    return np.concatenate(parts[:-1])


def test_one_short_clip() -> None:
    transcript = Transcriber(FakeSpeechModel()).transcribe(tone(duration=2.0), sample_rate=16_000)

    assert transcript.text == "tone440"
    assert transcript.draft == "draft440"
    assert transcript.duration == 2.0
    (segment,) = transcript.segments
    assert (segment.start, segment.end, segment.text) == (0.0, 2.0, "tone440")


def test_long_audio_is_joined_in_order_with_single_spaces_and_real_times() -> None:
    model = FakeSpeechModel()

    transcript = Transcriber(model).transcribe(speech(300, 500, 700, 900, 1100, duration=17.0), sample_rate=16_000)

    assert transcript.text == "tone300 tone500 tone700 tone900 tone1100"
    assert [round(segment.end) for segment in transcript.segments] == [18, 36, 54, 72, 89]
    assert transcript.duration == 89.0
    assert transcript.segments[-1].end == 89.0
    assert all(length <= 30.0 for batch in model.batches for length in batch)


def test_silence_gives_an_empty_transcript_without_asking_the_model() -> None:
    model = FakeSpeechModel()

    transcript = Transcriber(model).transcribe(SILENCE, sample_rate=16_000)

    assert (transcript.text, transcript.no_speech, transcript.duration) == ("", True, 2.0)
    assert model.batches == []


def test_where_the_model_hears_no_speech_there_is_no_text() -> None:
    class DeafModel:
        def transcribe_waveforms(self, waveforms: object) -> list[FakeHypothesis]:
            return [FakeHypothesis(text="thank you for watching", draft="", no_speech=True)]

    transcript = Transcriber(DeafModel()).transcribe(tone(duration=1.0), sample_rate=16_000)

    assert (transcript.text, transcript.no_speech) == ("", True)


def test_a_batch_gives_the_same_as_one_at_a_time_in_the_order_of_the_input() -> None:
    waveforms = [tone(duration=3, hertz=300), speech(400, 500, 600), SILENCE, tone(duration=0.5, hertz=700)]
    transcriber = Transcriber(FakeSpeechModel())

    together = transcriber.transcribe_batch(waveforms)

    assert together == [transcriber.transcribe_batch([waveform])[0] for waveform in waveforms]
    assert together[1].text.startswith("tone400")
    assert together[2].text == ""


def test_batches_hold_similar_lengths_up_to_a_limit_of_padded_audio() -> None:
    model = FakeSpeechModel()
    durations = [1, 20, 2, 19, 1, 18, 3, 1, 2]

    Transcriber(model, max_batch_duration=40.0).transcribe_batch([tone(duration=duration) for duration in durations])

    assert model.batches == [[20, 19], [18, 3], [2, 2, 1, 1, 1]]


def test_a_chunk_longer_than_the_batch_limit_goes_alone() -> None:
    model = FakeSpeechModel()

    Transcriber(model, max_batch_duration=1.0).transcribe_batch([tone(duration=2.0), tone(duration=3.0)])

    assert model.batches == [[3.0], [2.0]]


def test_line_breaks_of_the_model_become_spaces() -> None:
    class VerboseModel:
        def transcribe_waveforms(self, waveforms: object) -> list[FakeHypothesis]:
            return [FakeHypothesis(text=" one\n\ntwo\tthree ", draft="one")]

    assert Transcriber(VerboseModel()).transcribe(tone(duration=1.0), sample_rate=16_000).text == "one two three"


def test_nothing_in_gives_nothing() -> None:
    assert Transcriber(FakeSpeechModel()).transcribe_batch([]) == []


def test_waveforms_too_short_for_the_model_are_refused() -> None:
    with pytest.raises(AudioError, match=r"waveform 1 has 1599 samples; expected at least 0\.1 s"):
        Transcriber(FakeSpeechModel()).transcribe_batch([tone(duration=1.0), np.zeros(1599, np.float32)])
