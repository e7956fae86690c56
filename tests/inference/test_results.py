from dataclasses import FrozenInstanceError

import pytest

from tiny_audio.inference.results import Segment, Transcript


def transcript(*segments: Segment) -> Transcript:
    return Transcript(text="", segments=segments, duration=1.0)


def test_a_transcript_is_without_speech_only_if_every_segment_is() -> None:
    silent = Segment(id=0, start=0.0, end=1.0, text="", no_speech=True)
    spoken = Segment(id=1, start=1.0, end=2.0, text="hello")

    assert transcript(silent).no_speech
    assert not transcript(silent, spoken).no_speech


def test_the_draft_joins_those_of_the_segments() -> None:
    segments = [Segment(id=i, start=0.0, end=1.0, text="", draft=draft) for i, draft in enumerate(["a b", "", "c"])]

    assert transcript(*segments).draft == "a b c"


def test_results_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        transcript().text = "other"  # type: ignore[misc]
