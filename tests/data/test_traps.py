"""Mistakes that other toolkits made with data, each with the test that would have found it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tiny_audio.audio.io import load_audio
from tiny_audio.audio.timebase import seconds_to_samples
from tiny_audio.data.batch import CachedExample
from tiny_audio.data.feature_cache import FeatureCache, FeatureCacheWriter
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.stream import Source, StepStream
from tiny_audio.models.ctc import frames_needed, is_feasible
from tiny_audio.models.encoders.log_mel import LogMelEncoder


@pytest.mark.parametrize("num_samples", [1_600, 16_001, 48_000])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_trap_1_channels_are_mixed_never_averaged_over_time(tmp_path: Path, num_samples: int, num_channels: int):
    """Averaged along the wrong axis, 3 s of stereo became two samples and the text " you"."""
    mono = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    side = np.random.default_rng(1).normal(0, 0.01, num_samples).astype(np.float32)
    columns = np.stack([mono + side, mono - side], axis=1)[:, :num_channels]
    expected = columns.mean(axis=1)
    soundfile.write(tmp_path / "a.wav", columns, 16_000, subtype="FLOAT")
    utterance = Utterance(id="a", audio=tmp_path / "a.wav", duration=num_samples / 16_000, text="")
    heard = [
        load_waveform(utterance),
        load_audio(columns, sample_rate=16_000),
        load_audio(columns.T, sample_rate=16_000),
    ]
    for waveform in heard:
        np.testing.assert_allclose(waveform, expected, atol=1e-6)


def test_trap_26_frames_that_are_planned_are_those_that_are_stored(tmp_path: Path):
    """Off by one between the lengths that are counted and those that are computed, for every length of sound."""
    encoder = LogMelEncoder(n_mels=4)
    lengths = [seconds_to_samples(0.1) + 37 * number for number in range(40)]
    waveforms = [np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32) for length in lengths]
    output = encoder(*encoder.features(waveforms))
    planned = encoder.output_lengths(torch.tensor(lengths)).tolist()
    assert output.lengths.tolist() == planned
    with FeatureCacheWriter(tmp_path, meta={}, dim=4) as writer:
        for row_TD, frames in zip(output.last_hidden_state, planned, strict=True):
            writer.add(row_TD[:frames].half().numpy(), id=str(len(writer.done)), duration=0.1, text="", speaker="")
    cache = FeatureCache(tmp_path)
    examples = [CachedExample(cache=cache, utterance=one, labels=()) for one in cache]
    stream = StepStream([Source(examples=examples)], max_step_frames=1_000, seed=0)
    for index in range(stream.steps_per_epoch()):
        for batch in stream.micro_batches(index, max_frames=200):
            assert batch.lengths_B.tolist() == [planned[int(name)] for name in batch.ids]
            assert batch.features_BTD.shape[1] == max(batch.lengths_B)


@pytest.mark.parametrize("world_size", [2, 3, 7])
@pytest.mark.parametrize("num_utterances", [1, 5, 23])
def test_trap_30_no_utterance_is_doubled_to_make_processes_equal(tmp_path: Path, world_size: int, num_utterances: int):
    """DistributedSampler repeats utterances until all processes have as many, which counts some of them twice."""
    with FeatureCacheWriter(tmp_path, meta={}, dim=1) as writer:
        for number in range(num_utterances):
            frames = np.ones((number + 1, 1), dtype=np.float16)
            writer.add(frames, id=str(number), duration=1.0, text="", speaker="")
    cache = FeatureCache(tmp_path)
    examples = [CachedExample(cache=cache, utterance=one, labels=(1,)) for one in cache]
    stream = StepStream([Source(examples=examples)], max_step_frames=60, seed=0)
    shown = [
        name
        for rank in range(world_size)
        for _, batches in stream.loader(0, stream.steps_per_epoch(), rank=rank, world_size=world_size, max_frames=20)
        for batch in batches
        for name in batch.ids
    ]
    assert sorted(shown, key=int) == [str(number) for number in range(num_utterances)]


@pytest.mark.parametrize("labels", [(), (1,), (1, 2, 3), (1, 1), (1, 1, 1, 2, 2)])
def test_trap_51_a_transcript_longer_than_its_audio_allows_is_known_before_the_loss_is(labels: tuple[int, ...]):
    """What is feasible has a finite loss and what is not an infinite one; the count decides, not the loss."""
    for num_frames in range(1, 9):
        log_probs = torch.zeros(num_frames, 1, 4).log_softmax(dim=-1)
        loss = torch.nn.functional.ctc_loss(
            log_probs, torch.tensor([labels], dtype=torch.long), [num_frames], [len(labels)], blank=0
        )
        assert bool(loss.isfinite()) == is_feasible(num_frames, labels) == (num_frames >= frames_needed(labels))
