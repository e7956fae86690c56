"""Example clips: all there, and no file of anybody's is lost."""

from pathlib import Path

import pytest

from tiny_audio.data.manifest import read_manifest
from tiny_audio.errors import OutputError
from tiny_audio.explain.samples import DEFAULT_SAMPLE, copy_samples, samples_folder


def test_the_clips_come_with_a_manifest_that_finds_them(tmp_path: Path) -> None:
    written = copy_samples(tmp_path / "new")
    assert tmp_path / "new" / DEFAULT_SAMPLE in written
    utterances = read_manifest(tmp_path / "new" / "manifest.jsonl")
    assert len(utterances) == 5
    assert all(Path(one.audio).parent == tmp_path / "new" and Path(one.audio).is_file() for one in utterances)
    assert copy_samples(tmp_path / "new") == written


def test_another_file_of_that_name_stays_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("mine\n")
    with pytest.raises(OutputError, match="another file"):
        copy_samples(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.jsonl"]
    assert (tmp_path / "manifest.jsonl").read_text() == "mine\n"


def test_a_lost_clip_comes_back(tmp_path: Path) -> None:
    copy_samples(tmp_path)
    (tmp_path / DEFAULT_SAMPLE).unlink()
    copy_samples(tmp_path)
    assert (tmp_path / DEFAULT_SAMPLE).read_bytes() == (samples_folder() / DEFAULT_SAMPLE).read_bytes()
