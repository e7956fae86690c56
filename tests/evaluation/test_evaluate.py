import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_audio.cli import main
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.evaluation.evaluate import evaluate, format_report, write_report
from tiny_audio.evaluation.wer import ErrorCounts
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.inference.transcriber import Transcriber
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


def test_scores_and_texts_of_a_corpus(manifest):
    report = evaluate(LengthTranscriber(), read_manifest(manifest))

    assert [result.id for result in report.utterances] == ["u0", "u1", "u2"]
    assert [(r.reference, r.hypothesis, r.draft) for r in report.utterances] == list(SAID.values())
    # "eight dollars" and "$8" are one word, "$8"; "the bat sat down" has one substitution and one insertion.
    assert report.counts == ErrorCounts(hits=5, substitutions=1, insertions=1)
    assert report.draft_counts.errors == 5
    assert report.relative_gain == pytest.approx(1 - 2 / 5)
    assert report.audio_seconds == pytest.approx(1.8)
    assert report.rtfx == pytest.approx(report.audio_seconds / report.wall_seconds)
    assert report.unreadable == ()


def test_an_unreadable_utterance_counts_as_deleted_words_and_is_never_dropped(manifest, capsys):
    break_one(manifest)

    report = evaluate(LengthTranscriber(), read_manifest(manifest))

    assert report.counts == ErrorCounts(hits=3, deletions=3)
    assert report.counts.reference_words == 6
    assert report.draft_counts.deletions == 3
    assert report.audio_seconds == pytest.approx(1.2)
    (broken,) = report.unreadable
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
    (utterance, *_) = read_manifest(manifest)
    many = [
        Utterance(id=str(number), audio=utterance.audio, duration=utterance.duration, text=utterance.text)
        for number in range(20)
    ]
    transcriber = LengthTranscriber()

    report = evaluate(transcriber, many)

    assert [result.id for result in report.utterances] == [str(number) for number in range(20)]
    assert sum(transcriber.batches) == 20
    assert max(transcriber.batches) > 1


def test_results_on_disk_hold_all_that_was_measured(manifest, tmp_path):
    break_one(manifest)
    report = evaluate(LengthTranscriber(), read_manifest(manifest))

    write_report(report, tmp_path / "new" / "results", model="tiny-audio-base", manifest="dev.jsonl")

    scores = json.loads((tmp_path / "new/results/results.json").read_text())
    assert scores == {
        "model": "tiny-audio-base",
        "manifest": "dev.jsonl",
        "normalizer": "whisper-english",
        "num_utterances": 3,
        "num_unreadable": 1,
        "wer": 0.5,
        "errors": 3,
        "substitutions": 0,
        "deletions": 3,
        "insertions": 0,
        "reference_words": 6,
        "draft_wer": report.draft_counts.wer,
        "relative_gain": report.relative_gain,
        "audio_seconds": report.audio_seconds,
        "wall_seconds": report.wall_seconds,
        "rtfx": report.rtfx,
    }
    rows = [json.loads(line) for line in (tmp_path / "new/results/results.jsonl").read_text().splitlines()]
    assert rows[1] == {"id": "u1", "reference": "Yes.", "hypothesis": "yes", "draft": "yes"}
    assert rows[2]["hypothesis"] == ""
    assert "clip-2.wav" in rows[2]["problem"]
    assert sorted(path.name for path in (tmp_path / "new/results").iterdir()) == ["results.json", "results.jsonl"]


def test_the_printed_report_gives_rate_kinds_of_error_draft_and_speed(manifest):
    first, second, third = format_report(evaluate(LengthTranscriber(), read_manifest(manifest))).splitlines()

    assert first == "WER 33.33 %  S 16.7 %  D 0.0 %  I 16.7 %  (2 errors / 6 words, 3 utterances)"
    assert second == "CTC draft alone: WER 83.33 %  (the language model changes its errors by -60.0 %)"
    assert third.startswith("rtfx ")


@pytest.fixture
def shipped_model(monkeypatch) -> list[str]:
    """Stands in for the trained model; the list gets the names that are asked for."""
    names: list[str] = []

    def from_pretrained(name: str) -> LengthTranscriber:
        names.append(name)
        return LengthTranscriber()

    monkeypatch.setattr(Transcriber, "from_pretrained", from_pretrained)
    return names


def test_the_command_takes_a_manifest_alone_or_a_model_before_it(manifest, shipped_model, capsys):
    assert main(["eval", str(manifest)]) == 0
    assert main(["eval", "runs/best", str(manifest), "--limit", "1"]) == 0

    assert shipped_model == ["tiny-audio-base", "runs/best"]
    output = capsys.readouterr().out.splitlines()
    assert output[0].endswith("3 utterances)")
    assert output[3].endswith("1 utterances)")


def test_the_command_writes_results_and_fails_when_audio_is_broken(manifest, shipped_model, tmp_path, capsys):
    break_one(manifest)

    assert main(["eval", str(manifest), "--output-dir", str(tmp_path / "results")]) == 1

    assert json.loads((tmp_path / "results/results.json").read_text())["deletions"] == 3
    assert capsys.readouterr().out.startswith("WER 50.00 %")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "No such file"), ("", "holds no utterances"), ("{}\n", ":1: field 'id' is missing")],
)
def test_a_manifest_that_cannot_be_used_is_one_line_and_exit_code_1(tmp_path, shipped_model, capsys, text, complaint):
    path = tmp_path / "bad.jsonl"
    if text is not None:
        path.write_text(text)

    assert main(["eval", str(path)]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert complaint in captured.err
    assert shipped_model == []


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["m.jsonl", "--limit", "0"], ["m.jsonl", "--threads", "x"]])
def test_wrong_usage_is_exit_code_2(arguments):
    assert main(["eval", *arguments]) == 2
