"""Training with CTC from scratch: shares add up, masks, the losses beside it, features from a cache or recordings."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tiny_audio.audio.io import load_audio
from tiny_audio.cli import main
from tiny_audio.data.batch import collate
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.stream import Batch, Step
from tiny_audio.errors import ConfigError, InfeasibleError
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.ctc_model import CTCConfig, CTCModel, CTCOutput, ctc_nll
from tiny_audio.models.encoders.aut import AuTConfig
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.recipes import build_recipe
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.training.config import CTCLossConfig, CTCSystem, DataConfig, TrainConfig
from tiny_audio.training.ctc_objective import CTCObjective, build_ctc_objective, consistency_loss
from tiny_audio.training.examples import training_sources
from tiny_audio.training.objective import row_generators
from tiny_audio.training.spec_augment import SPEC_AUGMENT, mask_mel

UNITS = CTCUnits.characters()
SIZES = AuTConfig(n_mels=16, conv_channels=(16, 16, 32), num_layers=2, num_heads=2, ffn_dim=64, dropout=0.0)
TEXTS = ["so it is", "one", "a dozen", "two or"]


def build(config: CTCLossConfig | None = None, *, is_cached: bool = True) -> CTCObjective:
    torch.manual_seed(0)
    return CTCObjective(CTCModel(CTCConfig(encoder=SIZES, head_upsample=2), UNITS), config, is_cached=is_cached)


def waveforms() -> list[np.ndarray]:
    lengths = (24_000, 9_600, 20_000, 16_000)
    return [np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32) for n in lengths]


def batch_of(found: CTCObjective, *, stored: bool = False) -> tuple[Batch, Step]:
    labels = [list(found.labels(text)) for text in TEXTS]
    features_BMF, lengths_B = found.model.encoder.features(waveforms())
    batch = Batch(
        features_BTD=features_BMF.transpose(1, 2) if stored else torch.zeros(0, features_BMF.shape[2], 0),
        lengths_B=lengths_B,
        labels=labels,
        references=TEXTS,
        ids=list("abcd"),
        duration=4.35,
        waveforms=() if stored else tuple(waveforms()),
    )
    return batch, Step(
        index=0, epoch=0, seed=3, ids=tuple("abcd"), labels=tuple(map(tuple, labels)), duration=batch.duration
    )


EVERYTHING = CTCLossConfig(spec_augment="full", intermediate_weight=0.3, consistency_weight=0.2)


@pytest.mark.parametrize("config", [CTCLossConfig(), EVERYTHING], ids=["plain", "everything"])
def test_four_micro_batches_have_the_loss_and_the_gradient_of_one(config: CTCLossConfig):
    found = build(config)
    batch, step = batch_of(found, stored=True)
    whole = found(batch, step)
    whole.loss.backward()
    expected = {name: parameter.grad.clone() for name, parameter in found.named_parameters()}
    found.zero_grad()
    parts = [found(quarter, step) for half in batch.halves() for quarter in half.halves()]
    sum(part.loss for part in parts).backward()
    for name in whole.metrics:
        assert sum(part.metrics[name] for part in parts) == pytest.approx(whole.metrics[name], rel=1e-4)
    for name, parameter in found.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-5), name


def test_stored_features_are_those_of_the_recordings_and_padding_adds_nothing():
    found = build()
    recorded, step = batch_of(found)
    stored, _ = batch_of(found, stored=True)
    assert found(recorded, step).loss.item() == pytest.approx(found(stored, step).loss.item(), rel=1e-6)
    wide = replace(recorded, features_BTD=torch.zeros(0, 256, 0))
    features_BMF, lengths_B = found.features(wide)
    assert (features_BMF.shape[2], lengths_B.tolist()) == (256, recorded.lengths_B.tolist())
    assert found(wide, step).loss.item() == pytest.approx(found(recorded, step).loss.item(), rel=1e-5)
    found.eval()
    texts = [[hypothesis.text for hypothesis in found.transcribe(batch)] for batch in (recorded, stored, wide)]
    assert texts[0] == texts[1] == texts[2]


def test_recordings_become_a_feature_cache_once_and_it_is_refused_for_other_features(tmp_path: Path):
    utterances = []
    for index, (waveform, text) in enumerate(zip(waveforms(), TEXTS, strict=True)):
        soundfile.write(tmp_path / f"{index}.wav", waveform, 16_000)
        utterances.append(
            Utterance(id=str(index), audio=tmp_path / f"{index}.wav", duration=len(waveform) / 16_000, text=text)
        )
    write_manifest(tmp_path / "m.jsonl", utterances)
    found = build()
    (source,) = training_sources([str(tmp_path / "m.jsonl")], tmp_path / "run", found, DataConfig())
    (folder,) = (tmp_path / "run" / "features").iterdir()
    lengths = sorted(len(waveform) // 160 for waveform in waveforms())
    assert sorted(example.num_frames for example in source.examples) == lengths
    assert json.loads((folder / "cache.json").read_text())["dim"] == 16
    (again,) = training_sources([str(folder)], tmp_path / "other", found, DataConfig())
    assert sorted(example.num_frames for example in again.examples) == lengths
    other = CTCObjective(CTCModel(CTCConfig(encoder=replace(SIZES, normalization="global"), head_upsample=2), UNITS))
    with pytest.raises(ConfigError, match="another encoder"):
        training_sources([str(folder)], tmp_path / "third", other, DataConfig())
    fresh = build(is_cached=False)
    (recorded,) = training_sources([str(tmp_path / "m.jsonl")], tmp_path / "fourth", fresh, DataConfig())
    assert sorted(example.num_frames for example in recorded.examples) == lengths
    assert not (tmp_path / "fourth" / "features").exists()


def test_log_mel_as_an_encoder_is_what_the_model_reads():
    encoder = build_encoder(build()._front)
    features, lengths_B = encoder.features(waveforms())
    output = encoder(features, lengths_B)
    expected, _ = build().model.encoder.features(waveforms())
    assert torch.equal(output.last_hidden_state, expected.transpose(1, 2))
    assert output.lengths.tolist() == encoder.output_lengths(torch.tensor(list(map(len, waveforms())))).tolist()
    assert (encoder.dim, encoder.frame_rate) == (16, EncoderConfig(family="log_mel").frame_rate)


def test_an_utterance_with_too_many_labels_is_refused_where_the_frames_say_so():
    found = build()
    assert found.ctc_frames(24) == 6
    batch, step = batch_of(found, stored=True)
    batch.labels[1] = list(found.labels("nineteen characters"))
    with pytest.raises(InfeasibleError, match="1 of 4 rows"):
        found(batch, step)


# -- masks


def test_masks_follow_from_step_and_id_alone_and_keep_to_their_sizes():
    found = build()
    batch, step = batch_of(found, stored=True)
    features_BMF, lengths_B = torch.ones(4, 128, 2000), torch.tensor([2000, 1000, 500, 100])
    for name, share in (("mild", 2 * 10 / 128 + 2 * 0.05), ("full", 2 * 27 / 128 + 5 * 0.05)):
        preset = SPEC_AUGMENT[name]
        first, again = (mask_mel(features_BMF, lengths_B, preset, row_generators(batch, step)) for _ in range(2))
        assert torch.equal(first, again)
        other = mask_mel(features_BMF, lengths_B, preset, row_generators(batch, replace(step, seed=4)))
        assert not torch.equal(first, other)
        swapped = replace(batch, ids=["d", "c", "b", "a"])
        moved = mask_mel(features_BMF, torch.full((4,), 2000), preset, row_generators(swapped, step))
        straight = mask_mel(features_BMF, torch.full((4,), 2000), preset, row_generators(batch, step))
        assert torch.equal(moved.flip(0), straight)
        hidden = [float((row[:, :length] == 0).float().mean()) for row, length in zip(first, lengths_B, strict=True)]
        assert 0 < max(hidden) <= share
    assert torch.equal(features_BMF, torch.ones_like(features_BMF))
    assert mask_mel(features_BMF, lengths_B, SPEC_AUGMENT["off"], []) is features_BMF


def test_an_utterance_of_one_frame_can_be_masked():
    generators = [torch.Generator().manual_seed(seed) for seed in range(50)]
    masked = mask_mel(torch.ones(50, 16, 8), torch.full((50,), 8), SPEC_AUGMENT["full"], generators)
    assert masked.shape == (50, 16, 8)


def test_recipes_mask_by_size():
    assert build_recipe("aut_tiny_ctc").stage("ctc").ctc.spec_augment == "off"
    assert build_recipe("aut_small_ctc").stage("ctc").ctc.spec_augment == "full"


# -- losses beside the CTC


def test_the_intermediate_loss_is_a_share_behind_the_middle_block():
    found = build(CTCLossConfig(intermediate_weight=0.3))
    batch, step = batch_of(found, stored=True)
    loss = found(batch, step).loss.item()
    features = batch.features_BTD.transpose(1, 2), batch.lengths_B
    last = ctc_nll(found.model(*features), batch.labels).item()
    del found.model.encoder.blocks[1]  # what is left ends in the middle
    middle = ctc_nll(found.model(*features), batch.labels).item()
    assert loss == pytest.approx((0.7 * last + 0.3 * middle) / step.num_labels, rel=1e-5)


def test_consistency_is_the_symmetric_divergence_over_real_frames():
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    views = CTCOutput(logits.requires_grad_(), torch.tensor([3, 3]))
    p, q = logits.detach().softmax(dim=-1)[:, :3]
    expected = 0.5 * ((p * (p / q).log()).sum() + (q * (q / p).log()).sum())
    loss = consistency_loss(views)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    # Each view is drawn towards the other, which stands still: half of (own posterior - other posterior).
    assert logits.grad is not None
    assert torch.allclose(logits.grad[0, :3], 0.5 * (p - q), atol=1e-6)
    assert not logits.grad[:, 3:].any()
    same = CTCOutput(logits.detach()[:1].repeat(2, 1, 1), torch.tensor([5, 5]))
    assert consistency_loss(same).item() == pytest.approx(0.0, abs=1e-6)


def test_two_views_differ_by_their_masks():
    found = build(CTCLossConfig(spec_augment="full", consistency_weight=0.2))
    batch, step = batch_of(found, stored=True)
    output = found(batch, step)
    assert output.metrics["consistency_loss"] > 0
    found.config = replace(found.config, consistency_weight=0.4)
    expected = output.loss.item() + 0.2 * output.metrics["consistency_loss"]
    assert found(batch, step).loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CTCLossConfig(consistency_weight=0.2), "set ctc.spec_augment to mild or full"),
        (CTCLossConfig(intermediate_weight=1.0), "the intermediate one below 1"),
        (CTCLossConfig(spec_augment="some"), "expected off, mild or full"),  # type: ignore[arg-type]
    ],
    ids=["views", "weight", "name"],
)
def test_losses_that_make_no_sense_are_refused(config: CTCLossConfig, message: str):
    stage = build_recipe("aut_tiny_ctc").stage("ctc")
    with pytest.raises(ConfigError, match=message):
        TrainConfig(objective="ctc", model=stage.model, ctc=config)


# -- compilation


def test_the_compiled_model_has_no_graph_break_and_the_same_loss():
    found = build()
    batch, step = batch_of(found, stored=True)
    features = batch.features_BTD.transpose(1, 2), batch.lengths_B
    explained = torch._dynamo.explain(found.model.forward)(*features)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons
    torch._dynamo.reset()
    compiled = torch.compile(found.model.forward, backend="eager", fullgraph=True, dynamic=True)
    for width in (batch.features_BTD.shape[1], 256):
        wide = torch.nn.functional.pad(features[0], (0, width - features[0].shape[2]))
        loss = ctc_nll(compiled(wide, features[1]), batch.labels) / step.num_labels
        assert loss.item() == pytest.approx(found(batch, step).loss.item(), rel=1e-5)
        assert math.isfinite(loss.item())


def test_the_cache_of_a_recipe_is_the_one_that_its_stage_trains_on(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", waveforms()[0], 16_000)
    utterance = Utterance(id="a", audio=tmp_path / "a.wav", duration=1.5, text="so it is")
    write_manifest(tmp_path / "m.jsonl", [utterance])
    command = ["data", "cache", str(tmp_path / "m.jsonl"), "-o", str(tmp_path / "cache"), "--recipe", "aut_tiny_ctc"]
    assert main(command) == 0
    system = build_recipe("aut_tiny_ctc").model
    assert isinstance(system, CTCSystem)
    found = build_ctc_objective(replace(system, units="char", head_upsample=2), [utterance.text], tmp_path / "run")
    (source,) = training_sources([str(tmp_path / "cache")], tmp_path / "run", found, DataConfig())
    batch = collate(source.examples)
    expected, _ = found.model.encoder.features([load_audio(tmp_path / "a.wav")])
    features_BMF, lengths_B = found.features(batch)
    assert lengths_B.tolist() == [150]
    assert torch.allclose(features_BMF, expected, atol=0.003)  # stored in half precision
