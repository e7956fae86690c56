import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from fakes import tone
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.errors import DatasetError, ManifestError, MissingExtraError, UnknownNameError
from tiny_audio.evaluation.datasets import PUBLIC_SETS, choose, open_set


def many(count: int) -> list[Utterance]:
    return [Utterance(id=f"u{number}", audio=Path(f"{number}.wav"), duration=1.0, text="a") for number in range(count)]


def test_the_part_depends_on_seed_and_ids_alone_and_keeps_the_order():
    utterances = many(200)
    part = choose(utterances, 50, seed=42)

    assert len(part) == 50
    assert choose(utterances[::-1], 50, seed=42) == part[::-1]
    assert choose(utterances, 50, seed=1) != part
    assert {one.id for one in choose(utterances, 20, seed=42)} < {one.id for one in part}
    # Without some that were not chosen, the rest stays chosen.
    without = [one for one in utterances if one in part or one.id.endswith("7")]
    assert choose(without, 50, seed=42) == part
    assert choose(utterances, None, seed=42) == choose(utterances, 500, seed=42) == utterances


def test_a_manifest_or_a_folder_with_one_is_a_set(tmp_path):
    write_manifest(tmp_path / "dev.jsonl", many(3))

    by_file = open_set(str(tmp_path / "dev.jsonl"))
    by_folder = open_set(str(tmp_path))

    assert by_file.utterances == by_folder.utterances
    assert len(by_file.utterances) == 3
    assert by_file.public is None


def test_a_folder_of_audio_with_texts_is_a_set(tmp_path):
    (tmp_path / "ann").mkdir()
    soundfile.write(tmp_path / "ann/one.flac", tone(duration=0.5), 16_000)
    (tmp_path / "ann/one.txt").write_text("Hello\nthere.\n")
    soundfile.write(tmp_path / "two.wav", tone(duration=1.0), 16_000)
    (tmp_path / "two.txt").write_text("")

    utterances = open_set(str(tmp_path)).utterances

    assert [(one.id, one.text, one.duration) for one in utterances] == [
        ("ann/one", "Hello there.", 0.5),
        ("two", "", 1.0),
    ]


def test_sets_that_cannot_be_used_say_why(tmp_path):
    with pytest.raises(DatasetError, match="holds no manifest"):
        open_set(str(tmp_path))
    (tmp_path / "alone.txt").write_text("words")
    with pytest.raises(DatasetError, match="no recording of its name beside it"):
        open_set(str(tmp_path))
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(DatasetError, match=r"several manifests \(a.jsonl, b.jsonl\)"):
        open_set(str(tmp_path))
    with pytest.raises(ManifestError, match="holds no utterances"):
        open_set(str(tmp_path / "a.jsonl"))
    with pytest.raises(UnknownNameError, match="Did you mean 'librispeech'"):
        open_set("librispeach")


class FakeHub:
    """Stands in for the package `datasets`: rows of 20 tones; counts how often it is asked."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows
        self.num_loads = 0

    def load_dataset(self, repo: str, config: str, *, split: str, streaming: bool) -> "FakeHub":
        assert streaming
        self.num_loads += 1
        self.asked = (repo, config, split)
        return self

    def cast_column(self, column: str, feature: SimpleNamespace) -> "FakeHub":
        assert not feature.decode
        return self

    def shuffle(self, *, seed: int, buffer_size: int) -> "FakeHub":
        order = np.random.default_rng(seed).permutation(len(self.rows))
        return FakeHub([self.rows[index] for index in order])

    def __iter__(self):
        yield from self.rows

    @staticmethod
    def Audio(*, decode: bool) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(decode=decode)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> FakeHub:
    monkeypatch.setenv("TINY_AUDIO_CACHE", str(tmp_path / "cache"))
    rows = []
    for number in range(20):
        soundfile.write(tmp_path / "tone.flac", tone(duration=0.5 + number / 100), 16_000)
        audio = {"bytes": (tmp_path / "tone.flac").read_bytes(), "path": f"{number}.flac"}
        rows.append({"audio": audio, "text": f"text {number}", "id": f"r{number}", "speaker_id": number % 3})
    fake = FakeHub(rows)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return fake


def test_a_public_set_is_fetched_once_and_then_read_from_the_cache(hub):
    first = open_set("librispeech")
    second = open_set("librispeech")

    assert hub.asked == ("openslr/librispeech_asr", "clean", "test")
    assert hub.num_loads == 1
    assert first.utterances == second.utterances
    assert first.public is PUBLIC_SETS["librispeech"]
    assert [one.id for one in first.utterances] == [f"r{number}" for number in range(20)]
    assert first.utterances[3].audio.read_bytes() == hub.rows[3]["audio"]["bytes"]
    assert (first.utterances[3].duration, first.utterances[3].speaker) == (0.53, "0")


def test_a_part_of_a_public_set_is_random_by_seed(hub):
    parts = [[one.id for one in open_set("librispeech", max_samples=5, seed=seed).utterances] for seed in (1, 1, 2)]

    assert parts[0] == parts[1]
    assert len(set(parts[0])) == 5
    assert parts[0] != parts[2]
    assert parts[0] != [f"r{number}" for number in range(5)]


def test_stretches_that_are_not_to_be_scored_and_broken_rows_are_told_apart(hub):
    hub.rows[0]["text"] = "ignore time segment in scoring"
    hub.rows[1]["audio"]["bytes"] = b"not audio"
    hub.rows[2]["id"] = "r1"

    utterances = open_set("librispeech").utterances

    assert [one.id for one in utterances[:3]] == ["r1", "r1-000002", "r3"]
    assert utterances[0].duration == 0.0  # the evaluation counts it as failed


def test_a_set_with_other_columns_or_without_network_is_one_clear_line(hub, monkeypatch):
    with pytest.raises(DatasetError, match=r"has columns audio, text, id, speaker_id; expected 'wav' and 'text'"):
        open_set("loquacious")

    def offline(*_, **__):
        raise ConnectionError("no route\nto host")

    hub.load_dataset = offline
    expected = r"cannot fetch 'edinburghcstr/ami' .*no route to host. Is there a network"
    with pytest.raises(DatasetError, match=expected) as error:
        open_set("ami")
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"tiny-audio\[data\]"):
        open_set("ami")


def test_the_table_of_public_sets_has_what_the_course_and_the_leaderboard_use():
    assert {
        "loquacious", "librispeech", "librispeech-other", "ami", "earnings22", "gigaspeech", "tedlium", "voxpopuli",
        "spgispeech", "common-voice", "peoples",
    } <= set(PUBLIC_SETS)  # fmt: skip
    assert all(public.repo.count("/") == 1 for public in PUBLIC_SETS.values())
