"""Batches: every utterance once an epoch, limited by frames, the same for the same seed, resumable."""

import json
from pathlib import Path

import numpy as np
import pytest

from tiny_audio.data.feature_cache import FeatureCache, FeatureCacheWriter
from tiny_audio.data.stream import BatchStream, CachedExample, collate, padding_share, plan_epoch
from tiny_audio.errors import ConfigError, ManifestError


def write(folder: Path, ids: list[str], *, meta: dict | None = None) -> FeatureCacheWriter:
    writer = FeatureCacheWriter(folder, meta=meta or {}, dim=3)
    with writer:
        for name in ids:
            if name not in writer.done:
                frames = np.full((len(name), 3), ord(name[0]), dtype=np.float16)
                writer.add(frames, id=name, duration=len(name) / 50, text=name.upper(), speaker="s")
    return writer


def test_a_cache_returns_what_was_stored(tmp_path: Path):
    write(tmp_path, ["aaa", "b", "cc"])
    cache = FeatureCache(tmp_path)
    assert [(item.id, item.text, item.num_frames) for item in cache] == [
        ("aaa", "AAA", 3),
        ("b", "B", 1),
        ("cc", "CC", 2),
    ]
    for item in cache:
        assert cache.features(item).tolist() == [[ord(item.id[0])] * 3] * len(item.id)


def test_an_interrupted_cache_continues_and_equals_an_uninterrupted_one(tmp_path: Path):
    write(tmp_path / "whole", ["aaa", "b", "cc"])
    write(tmp_path / "broken", ["aaa"])
    # What a killed process leaves: frames without a line, and half a line.
    with (tmp_path / "broken" / "features.f16").open("ab") as features:
        features.write(b"\x00" * 7)
    with (tmp_path / "broken" / "index.jsonl").open("a") as index:
        index.write('{"id": "b", "first')
    write(tmp_path / "broken", ["aaa", "b", "cc"])
    for name in ("features.f16", "index.jsonl", "cache.json"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_cache_made_with_other_settings_is_not_continued(tmp_path: Path):
    write(tmp_path, ["a"], meta={"seed": 1})
    with pytest.raises(ConfigError, match="choose another folder"):
        write(tmp_path, ["b"], meta={"seed": 2})


def test_a_folder_that_is_no_cache_and_one_cut_short_are_refused(tmp_path: Path):
    with pytest.raises(ManifestError, match="expected a folder made by"):
        FeatureCache(tmp_path)
    write(tmp_path / "cut", ["aaa"])
    (tmp_path / "cut" / "features.f16").write_bytes(b"\x00" * 6)
    with pytest.raises(ManifestError, match="6 bytes; its index needs 18"):
        FeatureCache(tmp_path / "cut")


FRAMES = np.random.default_rng(0).integers(10, 800, 3_000).tolist()


def test_every_utterance_comes_once_an_epoch_and_no_batch_is_too_long():
    plan = plan_epoch(FRAMES, max_batch_frames=4_000, seed=0, epoch=0)
    assert sorted(index for batch in plan for index in batch) == list(range(len(FRAMES)))
    assert all(len(batch) * max(FRAMES[index] for index in batch) <= 4_000 for batch in plan)
    assert padding_share(FRAMES, plan) < 0.05


def test_an_utterance_longer_than_the_limit_is_a_batch_of_its_own():
    assert sorted(plan_epoch([10, 500, 20], max_batch_frames=100, seed=0, epoch=0), key=len) == [[1], [0, 2]]


def test_epochs_differ_and_the_same_seed_gives_the_same_plan():
    plans = [plan_epoch(FRAMES, max_batch_frames=4_000, seed=3, epoch=epoch) for epoch in (0, 1, 0)]
    assert plans[0] == plans[2] != plans[1]


def test_a_stream_set_to_a_position_continues_with_the_batch_that_came_next(tmp_path: Path):
    write(tmp_path, ["a" * n for n in range(1, 30)])
    cache = FeatureCache(tmp_path)
    examples = [CachedExample(cache=cache, utterance=item, labels=(1,)) for item in cache]
    straight = iter(BatchStream(examples, max_batch_frames=40, seed=0))
    expected = [next(straight).ids for _ in range(40)]  # more than one epoch
    resumed = BatchStream(examples, max_batch_frames=40, seed=0)
    resumed.position = 25
    batches = iter(resumed)
    assert [next(batches).ids for _ in range(15)] == expected[25:]


def test_collate_pads_with_zeros_and_keeps_lengths(tmp_path: Path):
    write(tmp_path, ["aaa", "b"])
    cache = FeatureCache(tmp_path)
    batch = collate([CachedExample(cache=cache, utterance=item, labels=(7,)) for item in cache])
    assert batch.features_BTD[:, :, 0].tolist() == [[97, 97, 97], [98, 0, 0]]
    assert (batch.lengths_B.tolist(), batch.references, batch.labels) == ([3, 1], ["AAA", "B"], [[7], [7]])
    assert json.loads((tmp_path / "cache.json").read_text())["dim"] == 3
