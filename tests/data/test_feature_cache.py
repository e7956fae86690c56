"""The feature cache: what comes out is what went in, whatever interrupted or divided the writing."""

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tiny_audio.data.feature_cache import FeatureCache, FeatureCacheWriter
from tiny_audio.errors import ConfigError, ManifestError

IDS = ["aaa", "b", "cc", "dddd"]


def write(folder: Path, ids: list[str], *, meta: dict | None = None, crash: bool = False, **options) -> None:
    """Utterances with as many frames as their id has letters."""
    with FeatureCacheWriter(folder, meta=meta or {}, dim=3, **options) as writer:
        for name in ids:
            if name not in writer.done:
                frames = np.full((len(name), 3), ord(name[0]), dtype=np.float16)
                writer.add(frames, id=name, duration=len(name) / 50, text=name.upper(), speaker="s")
        if crash:
            raise KeyboardInterrupt


def write_and_crash(folder: Path, ids: list[str], **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(folder, ids, crash=True, **options)


def write_first_version(folder: Path, ids: list[str]) -> None:
    """One file and an index without seals, as caches were before there were several files."""
    folder.mkdir()
    first = 0
    lines, frames = [], b""
    for name in ids:
        lines.append({"id": name, "first_frame": first, "num_frames": len(name), "duration": 1.0, "text": name.upper()})
        frames += np.full((len(name), 3), ord(name[0]), dtype=np.float16).tobytes()
        first += len(name)
    (folder / "features.f16").write_bytes(frames)
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "cache.json").write_text('{"dim": 3}')


def assert_holds(folder: Path, ids: list[str]) -> None:
    cache = FeatureCache(folder)
    assert [(item.id, item.text, item.num_frames) for item in cache] == [
        (name, name.upper(), len(name)) for name in ids
    ]
    for item in cache:
        assert cache.features(item).tolist() == [[ord(item.id[0])] * 3] * len(item.id)


def test_a_cache_returns_what_was_stored(tmp_path: Path):
    write(tmp_path, IDS)
    assert_holds(tmp_path, IDS)
    assert FeatureCache(tmp_path).verify() == []


def test_files_are_sealed_at_their_size_and_read_as_one_cache(tmp_path: Path):
    write(tmp_path, IDS, file_bytes=4 * 3 * 2)
    assert sorted(path.name for path in tmp_path.glob("*.f16")) == ["features-00000.f16", "features-00001.f16"]
    assert [path.stat().st_size for path in sorted(tmp_path.glob("*.f16"))] == [4 * 3 * 2, 6 * 3 * 2]
    assert_holds(tmp_path, IDS)


@pytest.mark.parametrize("file_bytes", [1, 24, 1 << 30])
@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_an_interrupted_cache_continues_and_equals_an_uninterrupted_one(tmp_path: Path, file_bytes: int, stored: int):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write(whole, IDS, file_bytes=file_bytes)
    write_and_crash(broken, IDS[:stored], file_bytes=file_bytes)
    # What a killed process leaves: frames without a line, and half a line.
    files = sorted(path.name for path in broken.glob("*.f16"))
    is_sealed = not files or f'"{files[-1]}", "bytes"' in (broken / "index.jsonl").read_text()
    with (broken / (f"features-{len(files):05d}.f16" if is_sealed else files[-1])).open("ab") as file:
        file.write(b"\x00" * 7)
    with (broken / "index.jsonl").open("a") as index:
        index.write('{"id": "b", "first')
    write(broken, IDS, file_bytes=file_bytes)
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == {
        path.name: path.read_bytes() for path in broken.iterdir()
    }


def test_a_crash_between_the_last_frame_of_a_file_and_its_seal_is_mended(tmp_path: Path):
    write(tmp_path / "whole", IDS, file_bytes=24)
    write_and_crash(tmp_path / "broken", IDS[:2], file_bytes=24)
    index = tmp_path / "broken" / "index.jsonl"
    lines = index.read_text().splitlines(keepends=True)
    assert "sha256" in lines[-1]
    index.write_text("".join(lines[:-1]))
    write(tmp_path / "broken", IDS, file_bytes=24)
    assert index.read_bytes() == (tmp_path / "whole" / "index.jsonl").read_bytes()


def test_an_unfinished_cache_is_refused_and_says_how_to_finish_it(tmp_path: Path):
    write_and_crash(tmp_path, IDS[:2])
    with pytest.raises(ManifestError, match=r"not finished .* again continues it"):
        FeatureCache(tmp_path)


def test_a_finished_cache_takes_more_and_leaves_what_it_has(tmp_path: Path):
    write(tmp_path, IDS[:2])
    before = (tmp_path / "features-00000.f16").read_bytes()
    write(tmp_path, IDS)
    assert (tmp_path / "features-00000.f16").read_bytes() == before
    assert_holds(tmp_path, IDS)


def test_processes_fill_parts_of_one_cache_which_is_whole_when_all_are(tmp_path: Path):
    write(tmp_path, IDS[1::2], part=(2, 2))
    with pytest.raises(ManifestError, match=r"complete parts: 2 of 2\)"):
        FeatureCache(tmp_path)
    write(tmp_path, IDS[::2], part=(1, 2))
    assert_holds(tmp_path, IDS[::2] + IDS[1::2])


def test_one_process_finishes_what_parts_have_begun(tmp_path: Path):
    write(tmp_path, IDS[1::2], part=(2, 2))
    write(tmp_path, IDS)
    assert sorted(item.id for item in FeatureCache(tmp_path)) == sorted(IDS)


def test_two_processes_cannot_write_the_same_part(tmp_path: Path):
    with (
        FeatureCacheWriter(tmp_path, meta={}, dim=3),
        pytest.raises(ConfigError, match="another process writes"),
    ):
        FeatureCacheWriter(tmp_path, meta={}, dim=3)


def test_a_cache_of_the_first_version_opens_and_can_be_continued(tmp_path: Path):
    write_first_version(tmp_path / "old", IDS[:2])
    assert_holds(tmp_path / "old", IDS[:2])
    assert FeatureCache(tmp_path / "old").verify() == ["features.f16"]
    before = (tmp_path / "old" / "features.f16").read_bytes()
    write(tmp_path / "old", IDS)
    assert (tmp_path / "old" / "features.f16").read_bytes().startswith(before)
    assert_holds(tmp_path / "old", IDS)
    assert FeatureCache(tmp_path / "old").verify() == []


def test_verify_names_the_file_with_a_flipped_bit(tmp_path: Path):
    write(tmp_path, IDS, file_bytes=24)
    path = tmp_path / "features-00001.f16"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=r"features-00001\.f16: found SHA-256 .*, expected .*make it again"):
        FeatureCache(tmp_path).verify()


def test_a_cache_made_with_other_settings_is_not_continued(tmp_path: Path):
    write(tmp_path, ["a"], meta={"seed": 1})
    with pytest.raises(ConfigError, match="choose another folder"):
        write(tmp_path, ["b"], meta={"seed": 2})


def test_a_folder_that_is_no_cache_and_one_cut_short_are_refused(tmp_path: Path):
    with pytest.raises(ManifestError, match="expected a folder made by"):
        FeatureCache(tmp_path)
    write(tmp_path / "cut", ["aaa"])
    (tmp_path / "cut" / "features-00000.f16").write_bytes(b"\x00" * 6)
    with pytest.raises(ManifestError, match="6 bytes; its index needs 18"):
        FeatureCache(tmp_path / "cut")


def test_a_cache_travels_to_a_worker_without_its_frames(tmp_path: Path):
    write(tmp_path, ["a" * 5_000])
    cache = FeatureCache(tmp_path)
    cache.features(cache[0])
    data = pickle.dumps(cache)
    assert len(data) < 1_000
    assert list(map(asdict, pickle.loads(data))) == list(map(asdict, cache))
