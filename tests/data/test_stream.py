"""Steps: every utterance as often as its weight says, limited by frames, the same however they are divided."""

import json
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.data.augment import AugmentConfig
from tiny_audio.data.batch import Batch, CachedExample, RecordedExample, TrainingExample, Variation, collate
from tiny_audio.data.feature_cache import FeatureCache, FeatureCacheWriter
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.mixing import draw_epoch, split_weight
from tiny_audio.data.step_plan import cut_steps, padding_share
from tiny_audio.data.stream import Source, StepStream
from tiny_audio.errors import AudioDecodeError, AudioError, ConfigError

RNG = np.random.default_rng
ALWAYS = AugmentConfig(clean_probability=0.0, speed_probability=1.0, codec_probability=1.0)


def cached(folder: Path, lengths: Sequence[int], prefix: str = "u") -> list[TrainingExample]:
    """Utterances whose frames hold their number."""
    with FeatureCacheWriter(folder, meta={}, dim=3) as writer:
        for number, length in enumerate(lengths):
            frames = np.full((length, 3), number, dtype=np.float16)
            writer.add(frames, id=f"{prefix}{number}", duration=length / 50, text=f"text {number}", speaker="")
    cache = FeatureCache(folder)
    return [CachedExample(cache=cache, utterance=item, labels=(number, 7)) for number, item in enumerate(cache)]


def recorded(folder: Path, durations: Sequence[float]) -> list[TrainingExample]:
    """Noise, 50 encoder frames a second."""
    examples: list[TrainingExample] = []
    for number, duration in enumerate(durations):
        audio = folder / f"{number}.wav"
        soundfile.write(audio, RNG(number).normal(0, 0.1, round(duration * SAMPLE_RATE)), SAMPLE_RATE)
        utterance = Utterance(id=f"r{number}", audio=audio, duration=duration, text="text")
        examples.append(RecordedExample(utterance=utterance, num_frames=round(duration * 50), labels=(1,)))
    return examples


def stream_of(examples: Sequence[TrainingExample], weight: float = 1.0, **options) -> StepStream:
    return StepStream([Source(examples=examples, weight=weight)], **({"max_step_frames": 60, "seed": 0} | options))


def rows_of(batches: Iterable[Batch]) -> dict[str, tuple]:
    """What stands in each row without its padding."""
    rows: dict[str, tuple] = {}
    for batch in batches:
        for number, name in enumerate(batch.ids):
            assert name not in rows
            features = batch.features_BTD[number, : batch.lengths_B[number]].tolist() if len(batch.features_BTD) else []
            waveform = batch.waveforms[number].tobytes() if batch.waveforms else b""
            rows[name] = (features, waveform, batch.labels[number], batch.references[number])
    return rows


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.features_BTD, other.features_BTD)
        and (one.ids, one.labels, one.duration) == (other.ids, other.labels, other.duration)
        and all(map(np.array_equal, one.waveforms, other.waveforms))
    )


# Steps and epochs


LIBRISPEECH_LIKE = (50 * np.clip(RNG(0).beta(3, 1.2, 3_000) * 17, 1.3, 17)).astype(int).tolist()
UNIFORM = RNG(0).integers(10, 800, 3_000).tolist()


@pytest.mark.parametrize("frames", [UNIFORM, LIBRISPEECH_LIKE], ids=["uniform", "librispeech-like"])
@pytest.mark.parametrize("max_frames", [2_000, 8_000])
def test_every_utterance_comes_once_no_step_is_too_long_and_padding_is_below_five_percent(frames, max_frames):
    steps = cut_steps(frames, max_step_frames=max_frames, rng=RNG(0))
    assert sorted(row for step in steps for row in step) == list(range(len(frames)))
    assert all(len(step) * max(frames[row] for row in step) <= max_frames for step in steps)
    assert padding_share(frames, steps) < 0.05


def test_an_utterance_longer_than_the_limit_is_a_step_of_its_own():
    assert sorted(cut_steps([10, 500, 20], max_step_frames=100, rng=RNG(0)), key=len) == [[1], [0, 2]]


def test_epochs_differ_and_the_same_seed_gives_the_same_steps(tmp_path: Path):
    examples = cached(tmp_path, RNG(1).integers(3, 12, 40).tolist())
    first, again, other = (stream_of(examples, seed=seed) for seed in (3, 3, 4))
    count = first.steps_per_epoch()
    steps = [first.step(index) for index in range(2 * count)]
    assert steps == [again.step(index) for index in reversed(range(2 * count))][::-1]  # in any order
    assert [step.ids for step in steps[:count]] != [step.ids for step in steps[count:]]
    assert [step.ids for step in steps] != [other.step(index).ids for index in range(2 * count)]
    assert sorted(name for step in steps[:count] for name in step.ids) == sorted(e.utterance.id for e in examples)
    assert len({step.seed for step in steps}) == len(steps)


def test_a_step_names_all_of_its_rows_with_labels_and_duration(tmp_path: Path):
    examples = cached(tmp_path, [3, 5, 4])
    step = stream_of(examples).step(0)
    assert (step.ids, step.labels, step.num_rows, step.num_labels) == (
        ("u0", "u2", "u1"),
        ((0, 7), (2, 7), (1, 7)),
        3,
        6,
    )
    assert step.duration == pytest.approx(12 / 50)


# However it is divided


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("max_frames", [0, 1, 25])
def test_processes_and_micro_batches_together_are_the_step_each_row_once(tmp_path: Path, world_size, max_frames):
    examples = cached(tmp_path, RNG(1).integers(3, 12, 40).tolist())
    stream = stream_of(examples, max_step_frames=100)
    for index in range(stream.steps_per_epoch()):
        whole = rows_of(stream.micro_batches(index))
        assert whole.keys() == set(stream.step(index).ids)
        parts = [
            batch
            for rank in range(world_size)
            for batch in stream.micro_batches(index, rank=rank, world_size=world_size, max_frames=max_frames)
        ]
        assert rows_of(parts) == whole
        for batch in parts:
            assert not max_frames or len(batch.ids) == 1 or batch.features_BTD[..., 0].numel() <= max_frames


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("pad_to_frames", [1, 8])
def test_a_few_unequal_recordings_are_computed_with_little_padding(tmp_path: Path, world_size, pad_to_frames):
    stream = stream_of(
        cached(tmp_path, [10, 12, 50, 52, 53, 200, 700]), max_step_frames=6_000, pad_to_frames=pad_to_frames
    )
    assert stream.steps_per_epoch() == 1
    for rank in range(world_size):
        batches = stream.micro_batches(0, rank=rank, world_size=world_size)
        lengths = [-(-batch.lengths_B // pad_to_frames) * pad_to_frames for batch in batches]
        computed = sum(batch.features_BTD[..., 0].numel() for batch in batches)
        assert sum(int(one.sum()) for one in lengths) >= 0.95 * computed
    if pad_to_frames == 1:
        assert stream.padding_share() < 0.05


def test_processes_get_about_the_same_amount_of_audio(tmp_path: Path):
    stream = stream_of(cached(tmp_path, RNG(1).integers(10, 300, 400).tolist()), max_step_frames=8_000)
    shares = np.array(
        [
            [
                sum(int(b.lengths_B.sum()) for b in stream.micro_batches(index, rank=rank, world_size=4))
                for rank in range(4)
            ]
            for index in range(stream.steps_per_epoch())
            if stream.step(index).num_rows >= 32
        ]
    )
    assert len(shares)
    assert (shares.max(axis=1) / shares.min(axis=1) < 1.15).all()


def test_a_batch_that_does_not_fit_is_halved_into_the_same_rows(tmp_path: Path):
    batch = collate(cached(tmp_path, [2, 3, 5]))
    first, second = batch.halves()
    assert (first.ids, second.ids) == (["u0"], ["u1", "u2"])
    assert rows_of([first, second]) == rows_of([batch])
    assert first.duration + second.duration == pytest.approx(batch.duration)


def test_batches_are_padded_to_few_lengths(tmp_path: Path):
    stream = stream_of(cached(tmp_path, RNG(1).integers(3, 30, 40).tolist()), pad_to_frames=8)
    batches = [batch for index in range(stream.steps_per_epoch()) for batch in stream.micro_batches(index)]
    assert {batch.features_BTD.shape[1] for batch in batches} <= {8, 16, 24, 32}
    assert all(batch.features_BTD[..., 0].numel() <= 60 for batch in batches)
    assert 0 < stream.padding_share() < 1


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_same_for_any_number_of_workers(tmp_path: Path, num_workers: int):
    examples = recorded(tmp_path, [0.5, 0.6, 0.7, 0.8, 0.9])
    stream = stream_of(examples, augment=ALWAYS, max_step_frames=120)
    options = {"max_frames": 40, "rank": 1, "world_size": 2}
    expected = list(stream.loader(1, 9, **options))
    found = list(stream.loader(1, 9, num_workers=num_workers, **options))
    assert (
        [step for step, _ in found] == [step for step, _ in expected] == [stream.step(index) for index in range(1, 9)]
    )
    for (_, batches), (_, others) in zip(found, expected, strict=True):
        assert all(map(same, batches, others))
        assert len(batches) == len(others)
    assert any(batches for _, batches in expected)


def test_a_worker_may_be_a_new_process_that_gets_the_stream_as_bytes(tmp_path: Path):
    """As on macOS and Windows: a memory map that is copied whole, or an open file, would fail or fill the memory."""
    stream = stream_of(cached(tmp_path, [2_000] * 20), max_step_frames=4_000)
    data = pickle.dumps(stream)
    assert len(data) < 20_000
    assert all(map(same, pickle.loads(data).micro_batches(3), stream.micro_batches(3)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_of_a_worker_arrives_as_it_was(tmp_path: Path, num_workers: int):
    examples = recorded(tmp_path, [0.5, 0.6])
    (tmp_path / "1.wav").write_bytes(b"<html>not found</html>")
    with pytest.raises(AudioDecodeError, match=r"cannot decode '.*1\.wav'") as caught:
        list(stream_of(examples).loader(0, 2, num_workers=num_workers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resume_to_the_exact_sample(tmp_path: Path, num_workers: int):
    examples = recorded(tmp_path, RNG(1).uniform(0.2, 0.6, 12).round(2).tolist())
    straight = [batches for _, batches in stream_of(examples, augment=ALWAYS).loader(0, 20)]
    resumed = [batches for _, batches in stream_of(examples, augment=ALWAYS).loader(13, 20, num_workers=num_workers)]
    for batches, others in zip(resumed, straight[13:], strict=True):
        assert all(map(same, batches, others))


# Several corpora


@pytest.mark.parametrize(
    ("source", "path", "weight"),
    [
        ("a.jsonl", "a.jsonl", 1.0),
        ("a.jsonl*3", "a.jsonl", 3.0),
        ("b/cache*0.25", "b/cache", 0.25),
        ("shards-*.tar", "shards-*.tar", 1.0),
        ("shards-*.tar*2.5", "shards-*.tar", 2.5),
        ("shards-*", "shards-*", 1.0),
    ],
)
def test_a_weight_is_told_from_a_pattern(source: str, path: str, weight: float):
    assert split_weight(source) == (path, weight)


@pytest.mark.parametrize("source", ["a*0", "a*-1", "a*0.0"])
def test_a_weight_that_shows_nothing_is_refused(source: str):
    with pytest.raises(ConfigError, match="expected more than 0"):
        split_weight(source)


@pytest.mark.parametrize("weight", [0.3, 1.0, 2.5, 3.0])
def test_a_weight_shows_all_utterances_evenly_over_the_epochs(weight: float):
    shown: Counter[int] = Counter()
    orders = []
    for epoch in range(7):
        indices, passes = draw_epoch([5, 20], [1.0, weight], seed=0, epoch=epoch)
        assert sorted(indices[indices < 5]) == [0, 1, 2, 3, 4]
        orders.append(indices[indices >= 5].tolist())
        assert all(shown[index] <= one for index, one in zip(indices, passes, strict=True))
        shown.update(indices.tolist())
    counts = [shown[index] for index in range(5, 25)]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == round(7 * weight * 20)
    assert orders[0] != orders[1]


def test_an_utterance_shown_twice_in_a_step_has_two_ids_and_two_variations(tmp_path: Path):
    stream = stream_of(recorded(tmp_path, [0.5]), weight=2.0, augment=ALWAYS)
    assert stream.step(0).ids == ("r0", "r0~2")
    (batch,) = stream.micro_batches(0)
    assert not np.array_equal(*batch.waveforms)


def test_sources_that_show_nothing_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"would show 0\.2 utterances"):
        stream_of(cached(tmp_path, [3, 3]), weight=0.1)


# Augmentation on the fly


def test_a_variation_follows_from_seed_showing_and_id_and_the_plan_knows_its_length(tmp_path: Path):
    (example,) = recorded(tmp_path, [1.0])
    lengths = set()
    for showing in range(8):
        variation = Variation(config=ALWAYS, seed=0, showing=showing, id="r0")
        varied = example.varied(variation)
        waveform = varied.load()
        assert np.array_equal(waveform, example.varied(variation).load())
        assert varied.num_frames == pytest.approx(len(waveform) / SAMPLE_RATE * 50, abs=1)
        lengths.add(len(waveform))
    assert len(lengths) == 8


def test_speed_keeps_to_what_fits_the_encoder_and_leaves_enough_frames(tmp_path: Path):
    (example,) = recorded(tmp_path, [1.0])
    limited = replace(example, speed_limits=(0.97, 1.02))
    frames = [limited.varied(Variation(config=ALWAYS, seed=0, showing=n, id="r0")).num_frames for n in range(40)]
    assert min(frames) == 49  # 50 / 1.02
    assert max(frames) == 52  # 50 / 0.97


def test_a_recording_shorter_than_its_manifest_says_is_an_error_where_its_text_no_longer_fits(tmp_path: Path):
    (example,) = recorded(tmp_path, [1.0])
    wrong = replace(example.utterance, duration=1.5)
    with pytest.raises(AudioError, match="holds 67% of the duration that its manifest gives 'r0'"):
        replace(example, utterance=wrong, speed_limits=(0.0, 1.2)).load()
    assert len(replace(example, utterance=wrong, speed_limits=(0.0, 1.6)).load()) == SAMPLE_RATE


def test_collate_pads_with_zeros_and_keeps_lengths(tmp_path: Path):
    batch = collate(cached(tmp_path, [1, 3])[::-1])
    assert batch.features_BTD[:, :, 0].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert (batch.lengths_B.tolist(), batch.references, batch.labels) == (
        [3, 1],
        ["text 1", "text 0"],
        [[1, 7], [0, 7]],
    )
    assert json.loads((tmp_path / "cache.json").read_text())["dim"] == 3
