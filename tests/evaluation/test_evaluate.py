from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import FakeSpeechModel
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.errors import AnswerError
from tiny_audio.evaluation.evaluate import answer_all, evaluate
from tiny_audio.evaluation.wer import ErrorCounts
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.models.words import Word
from tiny_audio.types import Waveform

# Seconds of each clip: text said, text understood, CTC draft. No two lengths are equal, so a clip tells who it is.
SAID = {
    0.9: ("Eight dollars, please.", "$8 please", "ate dollars please"),
    0.3: ("Yes.", "yes", "yes"),
    0.6: ("The cat sat.", "the bat sat down", "the bat sat down on"),
}


class LengthTranscriber:
    """Knows what is said in a clip from its length alone; two segments where there are two words or more."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        self.batches.append(len(waveforms))
        return [self._transcript(len(waveform) / 16_000) for waveform in waveforms]

    @staticmethod
    def _transcript(duration: float) -> Transcript:
        _, text, draft = SAID[round(duration, 1)]
        first, _, rest = draft.partition(" ")
        segments = (
            Segment(id=0, start=0.0, end=0.1, text="", draft=first),
            Segment(id=1, start=0.1, end=duration, text="", draft=rest),
        )
        return Transcript(text=text, segments=segments, duration=duration)


@pytest.fixture
def manifest(tmp_path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    utterances = []
    for number, (duration, (text, _, _)) in enumerate(SAID.items()):
        audio = folder / f"clip-{number}.wav"
        soundfile.write(audio, np.full(round(duration * 16_000), 0.1, np.float32), 16_000)
        utterances.append(Utterance(id=f"u{number}", audio=audio, duration=duration, text=text))
    write_manifest(folder / "dev.jsonl", utterances)
    return folder / "dev.jsonl"


def break_one(manifest: Path) -> None:
    (manifest.parent / "clip-2.wav").write_text("not a sound")


def copies(manifest: Path, count: int, **fields: str) -> list[Utterance]:
    (one, *_) = read_manifest(manifest)
    return [
        Utterance(id=str(number), audio=one.audio, duration=one.duration, text=one.text, **fields)
        for number in range(count)
    ]


def test_scores_and_texts_of_a_corpus(manifest):
    report = evaluate(LengthTranscriber(), read_manifest(manifest))

    results = [utterance.result for utterance in report.utterances]
    assert [result.id for result in results] == ["u0", "u1", "u2"]
    assert [(one.reference, one.hypothesis, one.draft) for one in results] == list(SAID.values())
    # "eight dollars" and "$8" are one word, "$8"; "the bat sat down" has one substitution and one insertion.
    assert report.counts == ErrorCounts(hits=5, substitutions=1, insertions=1)
    assert report.draft_counts.errors == 5
    assert report.relative_gain == pytest.approx(1 - 2 / 5)
    assert report.audio_seconds == pytest.approx(1.8)
    assert report.rtfx == pytest.approx(report.audio_seconds / report.wall_seconds)
    assert report.failures == ()
    assert report.wall_seconds == pytest.approx(sum(one.wall_seconds for one in results))


def test_an_unreadable_utterance_counts_as_deleted_words_and_is_never_dropped(manifest, capsys):
    break_one(manifest)

    report = evaluate(LengthTranscriber(), read_manifest(manifest))

    assert report.counts == ErrorCounts(hits=3, deletions=3)
    assert report.counts.reference_words == 6
    assert report.draft_counts.deletions == 3
    assert report.audio_seconds == pytest.approx(1.2)
    (broken,) = report.failures
    assert (broken.id, broken.hypothesis, broken.draft) == ("u2", "", "")
    error = capsys.readouterr().err
    assert error.startswith("tiny-audio: error: u2: ")
    assert "clip-2.wav" in error
    assert error.count("\n") == 1


def test_a_corpus_without_any_readable_utterance_is_all_deleted_at_no_speed(tmp_path):
    utterances = [Utterance(id="gone", audio=tmp_path / "gone.wav", duration=1.0, text="two words")]

    report = evaluate(LengthTranscriber(), utterances)

    assert (report.counts.wer, report.rtfx, report.relative_gain) == (1.0, 0.0, 0.0)


def test_many_utterances_are_given_in_batches(manifest):
    many = copies(manifest, 20)
    transcriber = LengthTranscriber()

    report = evaluate(transcriber, many)

    assert [one.result.id for one in report.utterances] == [str(number) for number in range(20)]
    assert sum(transcriber.batches) == 20
    assert max(transcriber.batches) > 1


def test_what_is_done_is_passed_over_and_the_other_batches_stay(manifest):
    many = copies(manifest, 20)
    whole = list(answer_all(LengthTranscriber(), many))

    rest = list(answer_all(LengthTranscriber(), many, done={one.id for one in [*whole[0], whole[1][0]]}))

    assert [[one.id for one in batch] for batch in rest] == [
        [one.id for one in whole[1][1:]],
        *([one.id for one in batch] for batch in whole[2:]),
    ]


def test_one_utterance_without_an_answer_does_not_cost_its_batch(manifest):
    class Refusing(LengthTranscriber):
        def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
            if any(len(waveform) == 4800 for waveform in waveforms):
                raise AnswerError("not this one")
            return super().transcribe_batch(waveforms)

    report = evaluate(Refusing(), read_manifest(manifest))

    assert [(one.id, one.problem) for one in report.failures] == [("u1", "not this one")]
    assert report.counts.deletions == 1
    assert len(report.utterances) == 3


def test_normaliser_and_scorer_are_the_callers(manifest):
    report = evaluate(LengthTranscriber(), read_manifest(manifest), normalizer="none", scorer="leaderboard")

    assert report.normalizer == "none"
    assert report.counts.hits == 0  # "Yes." is not "yes"


def test_other_tasks_go_to_systems_that_know_them(manifest):
    class Feeling(LengthTranscriber):
        def respond_batch(self, waveforms: Sequence[Waveform], task: str) -> list[str]:
            assert task == "emotion"
            return ["She is happy."] * len(waveforms)

    asked = copies(manifest, 2, task="emotion", response="happy")

    (emotion,) = evaluate(Feeling(), asked).tasks
    assert emotion.accuracy == 1.0
    (emotion,) = evaluate(LengthTranscriber(), asked).tasks
    assert emotion.accuracy == 0.0
    (batch,) = answer_all(LengthTranscriber(), asked)
    assert batch[0].problem == "LengthTranscriber can only transcribe; the manifest asks for 'emotion'"
    (batch,) = answer_all(Transcriber(FakeSpeechModel(), name="our-model"), asked)
    assert batch[0].problem == "our-model can only transcribe; it is asked to 'emotion'"


def test_times_of_words_are_kept_where_a_system_gives_them(manifest):
    class Timing(LengthTranscriber):
        def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
            word = Word(text="yes", start=0.1, end=0.25, confidence=1.0)
            segment = Segment(id=0, start=0.0, end=0.3, text="yes", words=(word,))
            return [Transcript(text="yes", segments=(segment,), duration=0.3)]

    (yes,) = [one for one in read_manifest(manifest) if one.text == "Yes."]
    timed = replace(yes, extra={"words": [{"word": "Yes.", "start": 0.1, "end": 0.2}]})

    assert evaluate(Timing(), [timed]).median_word_time_error == pytest.approx(0.025)
