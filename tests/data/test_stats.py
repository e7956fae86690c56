from pathlib import Path

import pytest
import soundfile

from fakes import tone
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.stats import UNREADABLE, corpus_stats, count_sample_rates, format_stats


def utterances() -> list[Utterance]:
    rows = [
        ("a.wav", 0.5, "Yes.", "ann"),
        ("b.wav", 2.5, "Yes, one two three!", "bob"),
        ("b.wav", 40.0, "two", "bob"),
        ("c.wav", 7.0, "", ""),
    ]
    return [
        Utterance(
            id=str(number),
            audio=Path(audio),
            duration=duration,
            text=text,
            speaker=speaker,
            language="en" * (number < 2),
        )
        for number, (audio, duration, text, speaker) in enumerate(rows)
    ]


def test_counts_of_a_corpus():
    stats = corpus_stats(utterances())

    assert (stats.num_utterances, stats.num_recordings, stats.duration) == (4, 3, 50.0)
    assert (stats.durations["shortest"], stats.durations["longest"]) == (0.5, 40.0)
    assert stats.speakers == {"bob": 42.5, "": 7.0, "ann": 0.5}
    assert stats.vocabulary == {"yes": 2, "two": 2, "one": 1, "three": 1}
    assert stats.words_per_second == pytest.approx(6 / 43)  # the 7 s without a text say nothing
    assert stats.num_without_text == 1
    assert stats.languages == {"en": 2}


def test_every_utterance_is_in_one_bar_of_the_histogram():
    stats = corpus_stats(utterances())

    assert {edge: count for edge, count in stats.histogram.items() if count} == {0: 1, 2: 1, 5: 1, 30: 1}


def test_sample_rates_are_read_from_the_headers(tmp_path):
    for name, rate in (("a", 8000), ("b", 44_100), ("c", 8000)):
        soundfile.write(tmp_path / f"{name}.wav", tone(duration=0.2, sample_rate=rate), rate)

    recordings = [*sorted(tmp_path.glob("*.wav")), tmp_path / "none.wav"]

    assert count_sample_rates(recordings) == {8000: 2, 44_100: 1, UNREADABLE: 1}


def test_the_page_names_what_is_most_frequent():
    page = format_stats(corpus_stats(utterances(), sample_rates={8000: 2, UNREADABLE: 1}), max_named=2)

    assert page.splitlines() == [
        "utterances    4 in 3 recordings, 0.8 min",
        "durations     shortest 0.50 s, 10 % 1.10 s, median 4.75 s, 90 % 30.10 s, longest 40.00 s",
        "         0 - 1 s        1 ########################################",
        "         1 - 2 s        0",
        "         2 - 3 s        1 ########################################",
        "         3 - 5 s        0",
        "       5 - 7.5 s        1 ########################################",
        "      7.5 - 10 s        0",
        "       10 - 15 s        0",
        "       15 - 20 s        0",
        "       20 - 30 s        0",
        "   30 s and more        1 ########################################",
        "speakers      2, and 0.1 min of unknown ones",
        "              bob 0.7 min, ann 0.0 min",
        "words         6, 0.14 a second; 0.6 characters a second",
        "vocabulary    4 words, 2 of them once",
        "              yes 2, two 2, and 2 more",
        "without text  1",
        "languages     en 2",
        "sample rates  8,000 Hz 2, 1 unreadable",
    ]


def test_an_empty_manifest_has_a_page_too():
    assert format_stats(corpus_stats([])).startswith("utterances    0 in 0 recordings, 0.0 min\n")
