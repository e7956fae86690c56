"""From sources to examples: what cannot be used is counted, listed, and never quietly trained on."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from miniatures import miniature_ctc
from tiny_audio.data.augment import AugmentConfig
from tiny_audio.data.feature_cache import FeatureCacheWriter
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.shard_writer import write_shards
from tiny_audio.data.stream import Source, StepStream
from tiny_audio.errors import ConfigError
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.training.config import CTCSystem, DataConfig, MaskConfig
from tiny_audio.training.ctc_objective import CTCObjective
from tiny_audio.training.examples import training_sources, validation_batches
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_models import TINY_CONFIG, tiny_asr_model

ANY = DataConfig(max_infeasible=1.0)
FAST = AugmentConfig(clean_probability=0.0, speed_probability=1.0, speed=(2.0, 2.0))


def align_objective() -> SpeechLLMObjective:
    """Four encoder frames to an audio token; random features of width 8."""
    config = replace(TINY_CONFIG, encoder=EncoderConfig(source=None), encoder_dim=8, draft_only=True)
    return SpeechLLMObjective(tiny_asr_model(config, with_encoder=False), mask=MaskConfig(), ctc_weight=0.3)


def ctc_objective() -> CTCObjective:
    """On recordings."""
    torch.manual_seed(0)
    return CTCObjective(miniature_ctc(CTCSystem(), ["one two three four five"]), is_cached=False)


def cache_of(folder: Path, texts: dict[str, tuple[str, int]]) -> str:
    """Text and number of encoder frames of each id."""
    with FeatureCacheWriter(folder, meta={"encoder_sha256": None}, dim=8) as writer:
        for name, (text, length) in texts.items():
            frames = np.ones((length, 8), dtype=np.float16)
            writer.add(frames, id=name, duration=length / 50, text=text, speaker="")
    return str(folder)


def recordings(folder: Path, durations: dict[str, float], text: str = "one two") -> list[Utterance]:
    utterances = []
    for number, (name, duration) in enumerate(durations.items()):
        noise = np.random.default_rng(number).normal(0, 0.1, round(duration * 16_000))
        soundfile.write(folder / f"{name}.wav", noise, 16_000)
        utterances.append(Utterance(id=name, audio=folder / f"{name}.wav", duration=duration, text=text))
    return utterances


def manifest_of(folder: Path, durations: dict[str, float], text: str = "one two") -> str:
    write_manifest(folder / "all.jsonl", recordings(folder, durations, text))
    return str(folder / "all.jsonl")


def ids(sources: list[Source]) -> list[list[str]]:
    return [[example.utterance.id for example in source.examples] for source in sources]


def listed(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


CRAMMED = {"fits": ("one two", 8), "too-long": ("one two three", 8), "repeats": ("one one", 8)}


def test_infeasible_utterances_are_counted_listed_and_left_out(tmp_path: Path, caplog):
    sources = training_sources([cache_of(tmp_path / "cache", CRAMMED) + "*2"], tmp_path, align_objective(), ANY)
    assert ids(sources) == [["fits"]]
    assert sources[0].weight == 2.0
    found = [
        (item["id"], item["ctc_frames"], item["needed"], item["text"]) for item in listed(tmp_path / "infeasible.jsonl")
    ]
    assert found == [("too-long", 2, 3, "one two three"), ("repeats", 2, 3, "one one")]
    assert "2 of 3 utterances (66.7%)" in caplog.text


def test_too_many_infeasible_utterances_are_refused_with_the_worst_and_what_to_do(tmp_path: Path):
    cache = cache_of(tmp_path / "cache", CRAMMED | {"worst": ("one two three four five", 8)})
    with pytest.raises(ConfigError) as caught:
        training_sources([cache], tmp_path, align_objective(), DataConfig())
    message = str(caught.value)
    assert "3 of 4 utterances (75.0%)" in message
    assert "'worst' with 2 frames, needing 5" in message
    assert "head_upsample 2" in message
    assert "data.max_infeasible=1" in message
    assert len(listed(tmp_path / "infeasible.jsonl")) == 3


def test_the_count_is_said_also_where_all_are_feasible_and_an_old_list_goes_away(tmp_path: Path, caplog):
    (tmp_path / "infeasible.jsonl").write_text("of a run before")
    with caplog.at_level(logging.INFO, "tiny_audio"):
        training_sources([cache_of(tmp_path / "cache", {"a": ("one", 40)})], tmp_path, align_objective(), DataConfig())
    assert "0 of 1 utterances" in caplog.text
    assert not (tmp_path / "infeasible.jsonl").exists()


def test_nothing_left_is_an_error(tmp_path: Path):
    cache = cache_of(tmp_path / "cache", {"a": ("one two", 4)})
    with pytest.raises(ConfigError, match=r"no utterance to train on in .* 1 are infeasible"):
        training_sources([cache], tmp_path, align_objective(), ANY)


@pytest.mark.parametrize("kind", ["cache", "manifest"])
def test_what_is_too_long_is_an_error_or_dropped_with_its_transcript(tmp_path: Path, kind: str):
    if kind == "cache":
        source = cache_of(
            tmp_path / "cache", {"short": ("one two", 40), "long": ("one two", 80), "longest": ("one two", 90)}
        )
        objective = align_objective()
    else:
        source = manifest_of(tmp_path, {"short": 0.8, "long": 1.6, "longest": 1.8})
        objective = ctc_objective()
    with pytest.raises(ConfigError, match=r"2 utterances are longer than 1 s, up to 'longest' with 1\.80 s; cut them"):
        training_sources([source], tmp_path, objective, DataConfig(max_duration=1.0))
    data = DataConfig(max_duration=1.0, on_overflow="drop")
    assert ids(training_sources([source], tmp_path, objective, data)) == [["short"]]
    dropped = listed(tmp_path / "dropped.jsonl")
    assert [(item["id"], item["reason"]) for item in dropped] == [
        ("long", "1.60 s, longer than 1 s"),
        ("longest", "1.80 s, longer than 1 s"),
    ]
    assert {item["text"] for item in dropped} == {"one two"}


def test_recordings_are_never_played_faster_than_ctc_allows(tmp_path: Path):
    """At twice the speed most of these would have fewer frames than labels, and an infinite loss."""
    objective = ctc_objective()
    source = manifest_of(tmp_path, {f"u{n}": 0.5 + 0.05 * n for n in range(12)}, text="one two thr")
    sources = training_sources([source], tmp_path, objective, ANY)
    examples = sources[0].examples
    assert len(examples) >= 4  # some are infeasible at any speed
    stream = StepStream(sources, max_step_frames=10_000, seed=0, augment=FAST)
    batches = stream.micro_batches(0)
    samples = {example.utterance.id: round(example.utterance.duration * 16_000) for example in examples}
    rows = [row for batch in batches for row in zip(batch.ids, batch.waveforms, strict=True)]
    speeds = [samples[name] / len(waveform) for name, waveform in rows]
    assert max(speeds) > 1.2
    assert min(speeds) < 1.3
    assert all(objective(batch, stream.step(0)).loss.isfinite() for batch in batches)


def test_recordings_are_never_played_so_slowly_that_the_encoder_cannot_take_them(tmp_path: Path, monkeypatch):
    objective = ctc_objective()
    monkeypatch.setattr("tiny_audio.models.encoders.log_mel.LogMelEncoder.max_samples", 16_000)
    sources = training_sources([manifest_of(tmp_path, {"a": 0.9, "b": 0.4})], tmp_path, objective, ANY)
    slow = AugmentConfig(clean_probability=0.0, speed_probability=1.0, speed=(0.5, 0.5))
    batches = StepStream(sources, max_step_frames=10_000, seed=0, augment=slow).micro_batches(0)
    assert sorted(len(waveform) for batch in batches for waveform in batch.waveforms) == [12_800, 16_000]


def test_augmenting_stored_features_is_said_to_have_no_effect(tmp_path: Path, caplog):
    cache = cache_of(tmp_path / "cache", {"a": ("one", 40)})
    training_sources([cache], tmp_path, align_objective(), DataConfig(augment=AugmentConfig()))
    assert "data cache --augment" in caplog.text


def frozen_objective() -> CTCObjective:
    objective = ctc_objective()
    objective.is_cached = True
    return objective


def test_a_manifest_is_encoded_once_and_its_texts_count_not_those_of_the_cache(tmp_path: Path):
    utterances = recordings(tmp_path, {"a": 0.9, "b": 1.0, "c": 1.1})
    write_manifest(tmp_path / "all.jsonl", utterances)
    run = tmp_path / "run"
    first = training_sources([str(tmp_path / "all.jsonl")], run, frozen_objective(), ANY)
    assert sorted(ids(first)[0]) == ["a", "b", "c"]
    corrected = [replace(utterances[0], text="two"), utterances[2]]
    for utterance in utterances:
        utterance.audio.unlink()
    write_manifest(tmp_path / "all.jsonl", corrected)
    (source,) = training_sources([str(tmp_path / "all.jsonl")], run, frozen_objective(), ANY)
    assert {one.utterance.id: one.utterance.text for one in source.examples} == {"a": "two", "c": "one two"}
    assert {one.labels for one in source.examples} == {frozen_objective().labels(text) for text in ("two", "one two")}


def test_what_cannot_be_read_is_dropped_with_the_reason(tmp_path: Path):
    utterances = recordings(tmp_path, {"a": 0.9, "b": 1.0})
    write_manifest(tmp_path / "all.jsonl", utterances)
    utterances[1].audio.write_bytes(b"<html>")
    sources = training_sources([str(tmp_path / "all.jsonl")], tmp_path / "run", frozen_objective(), ANY)
    assert ids(sources) == [["a"]]
    (dropped,) = listed(tmp_path / "run/dropped.jsonl")
    assert (dropped["id"], dropped["text"]) == ("b", "one two")
    assert "cannot decode" in dropped["reason"]


@pytest.mark.parametrize("is_cached", [False, True])
def test_shards_are_a_source_like_their_manifest(tmp_path: Path, is_cached: bool):
    objective = frozen_objective() if is_cached else ctc_objective()
    utterances = recordings(tmp_path, {"a": 0.9, "b": 1.0, "c": 1.1})
    write_manifest(tmp_path / "all.jsonl", utterances)
    write_shards(utterances, tmp_path / "out", shard_bytes=40_000)
    batches = []
    for source in ("all.jsonl", "out/shards.json", "out/shard-*.tar"):
        run = tmp_path / f"run{len(batches)}"
        sources = training_sources([str(tmp_path / source)], run, objective, ANY)
        batches.append(StepStream(sources, max_step_frames=10_000, seed=0).micro_batches(0))
    assert all(len(found) == len(batches[0]) for found in batches)
    for batch, expected in (pair for found in batches[1:] for pair in zip(found, batches[0], strict=True)):
        assert (batch.ids, batch.labels) == (expected.ids, expected.labels)
        assert torch.equal(batch.features_BTD, expected.features_BTD)
        assert all(map(np.array_equal, batch.waveforms, expected.waveforms))


def test_validation_takes_evenly_spaced_utterances_and_says_what_it_leaves_out(tmp_path: Path, caplog):
    source = manifest_of(tmp_path, {f"u{n}": 0.5 + 0.1 * n for n in range(8)})
    (tmp_path / "u3.wav").write_bytes(b"<html>")
    batches = validation_batches(source, tmp_path / "run", frozen_objective(), max_utterances=3)
    assert sum(len(batch.ids) for batch in batches) == 3
    assert "validation leaves out 'u3': cannot decode" in caplog.text
