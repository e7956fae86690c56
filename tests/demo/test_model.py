"""What the page asks for."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demo.conftest import tiny_demo_model
from fakes import FakeSpeechModel
from tiny_audio.demo.model import DemoModel
from tiny_audio.errors import AudioDecodeError, AudioTooLongError, CheckpointError
from tiny_audio.models.ctc_model import CTCModel
from tiny_models import tiny_asr_model


def test_a_transcript_grows_segment_by_segment(model: DemoModel, recording: Path) -> None:
    texts = [transcript.text for transcript in model.transcribe(recording)]

    assert texts[0] == "tone440"
    assert texts[-1] == "tone440 tone880"


def test_who_leaves_ends_the_work(recording: Path, tmp_path: Path) -> None:
    waveform, rate = soundfile.read(recording, dtype="float32")
    soundfile.write(tmp_path / "many.wav", np.tile(waveform, 10), rate)
    heard = FakeSpeechModel()
    with tiny_demo_model(heard, max_batch_duration=0.1) as model:
        transcripts = model.transcribe(tmp_path / "many.wav")
        next(transcripts)
        transcripts.close()
    assert 1 <= len(heard.batches) < 20


def test_recordings_that_cannot_be_heard(model: DemoModel, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"nothing of the kind" * 99)
    with pytest.raises(AudioDecodeError):
        list(model.transcribe(tmp_path / "bad.wav"))
    with tiny_demo_model(max_duration=1.0) as short, pytest.raises(AudioTooLongError):
        list(short.transcribe(recording))


def test_a_trace_is_the_page_of_that_recording(model: DemoModel, recording: Path) -> None:
    page = model.trace(recording)

    assert page.startswith("<!DOCTYPE html>")
    assert "two.wav" in page
    assert "tiny&lt;model&gt;" in page


def test_the_answer_is_that_of_the_plain_language_model(model: DemoModel) -> None:
    answers = list(model.write("one two", max_tokens=12, temperature=0.0))

    (plain,) = tiny_asr_model().generate(prompt="one two", max_new_tokens=12)
    assert " ".join(answers[-1].split()) == plain
    assert len(answers) > 1
    assert all(after.startswith(before) for before, after in pairwise(answers))


def test_two_visitors_ask_at_the_same_time_as_one_after_the_other(model: DemoModel) -> None:
    questions = ("one two", "five")
    alone = [list(model.write(question, max_tokens=8, temperature=0.0)) for question in questions]

    writers = [model.write(question, max_tokens=8, temperature=0.0) for question in questions]
    together: list[list[str]] = [[], []]
    for _ in range(max(map(len, alone)) + 1):
        for answers, writer in zip(together, writers, strict=True):
            answers.extend(answer for answer in [next(writer, None)] if answer is not None)
    assert together == alone


def test_a_temperature_varies_the_answers(model: DemoModel) -> None:
    answers = {[*model.write("one", max_tokens=12, temperature=1.5)][-1] for _ in range(5)}
    assert len(answers) > 1


def test_a_model_without_a_language_model_says_so(model: DemoModel) -> None:
    model._whole = object.__new__(CTCModel)
    with pytest.raises(CheckpointError, match="no language model"):
        next(model.write("one", max_tokens=3, temperature=0.0))
