"""What the topics measure is true of the models; what they print are the course's numbers, corrected."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from explain.conftest import WAVEFORM
from fakes import tone
from miniatures import ENCODERS, noise, save_encoder
from seeds.conftest import HIDDEN_DIM, Course
from tiny_audio.errors import CheckpointError, ConfigError, UnknownNameError
from tiny_audio.explain.findings import Request, table
from tiny_audio.explain.full_size import HUBERT_XLARGE, meta_encoder
from tiny_audio.explain.loading import load_encoder, load_projector_model
from tiny_audio.explain.topics import (
    activations,
    attention,
    audio,
    configs,
    data,
    decoders,
    downsampling,
    encoder,
    encoders,
    lora,
    projector,
)
from tiny_audio.models.asr_config import EncoderConfig, ProjectorConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.models.projectors.projector import NORM_EPS

# --- audio ---------------------------------------------------------------------------------------------------------


def test_normalising_centres_whatever_the_offset() -> None:
    for seed in range(3):
        normalised = audio.normalise(noise(16_000, seed=seed))
        assert abs(normalised.mean()) < 1e-4
        assert normalised.std() == pytest.approx(1, abs=1e-3)
    assert np.isfinite(audio.normalise(np.zeros(1000, np.float32))).all()


def test_a_rate_keeps_what_is_below_half_of_it() -> None:
    def loudness(waveform: np.ndarray) -> str:
        return "loud" if np.sqrt(np.square(waveform).mean()) > 0.03 else "silent"

    low, high = tone(duration=1.0, hertz=1_000), tone(duration=1.0, hertz=6_000)
    assert [one.heard for one in audio.at_rates(low, (8_000, 16_000, 44_100), loudness)] == ["loud"] * 3
    assert [one.heard for one in audio.at_rates(high, (8_000, 16_000, 44_100), loudness)] == ["silent", "loud", "loud"]
    assert [len(one.waveform) for one in audio.at_rates(low, (8_000, 44_100))] == [8_000, 44_100]
    with pytest.raises(ConfigError, match="1000"):
        audio.at_rates(low, (10,))


def test_the_spectrogram_of_a_tone_is_loudest_at_its_pitch() -> None:
    for one in audio.at_rates(tone(duration=1.0, hertz=2_000), (8_000, 32_000)):
        levels, end, top = audio.spectrogram(one)
        assert levels.max() == 0
        assert top == one.rate / 2
        assert end == pytest.approx(1.0)
        pitch = levels.mean(axis=1).argmax() / (len(levels) - 1) * top
        assert pitch == pytest.approx(2_000, abs=top / (len(levels) - 1))


def test_noise_has_the_level_that_is_asked_for() -> None:
    clean, some, more = audio.with_noise(WAVEFORM, (0.0, 0.01, 0.1))
    assert np.array_equal(clean.waveform, WAVEFORM)
    assert clean.snr_db is None
    assert (some.waveform - WAVEFORM).std() == pytest.approx(0.01, rel=0.02)
    assert some.snr_db - more.snr_db == pytest.approx(20)
    assert audio.with_noise(WAVEFORM, (0.1,))[0].waveform.tolist() == more.waveform.tolist()


# --- encoders ------------------------------------------------------------------------------------------------------


def test_the_input_and_output_block_of_the_chapter() -> None:
    """3 s through the real convolutions of HuBERT."""
    sizes = ENCODERS["hubert"]
    hubert = build_encoder(EncoderConfig(family="hubert", source=None, architecture=sizes))
    text = encoder.describe(encoder.encode(hubert, noise(48_000)), "hubert")
    for line in (
        "Shape: [1, 48000]",
        "Duration: 3.00 seconds",
        "Interpretation: [batch_size=1, time_steps=149, embedding_dim=16]",
        "Time dimension reduction: 322.1x",
        "Each embedding represents: ~20.1ms of audio",
        "exactly 320 samples",
    ):
        assert line in text


def test_encoders_are_compared_on_the_same_clip(tmp_path) -> None:
    names = {family: load_encoder(str(save_encoder(tmp_path / family, family))) for family in ("whisper", "wav2vec2")}
    compared = encoders.compare(names, noise(48_000))
    assert [len(one.encoded.frames_TD) for one in compared.values()] == [150, 149]
    sizes = [sum(parameter.numel() for parameter in one.parameters()) for one in names.values()]
    assert [one.num_parameters for one in compared.values()] == sizes
    text = encoders.describe(compared)
    assert f"whisper has {sizes[0] / sizes[1]:.1f}x the parameters of wav2vec2" in text
    assert "another projector" in text


@pytest.mark.parametrize("family", ENCODERS)
def test_attention_weights_are_a_distribution_in_every_family(family: str) -> None:
    model = build_encoder(EncoderConfig(family=family, source=None, architecture=ENCODERS[family]))
    before = model(*model.features([WAVEFORM])).last_hidden_state
    layers = attention.attention_of(model, WAVEFORM)
    assert torch.equal(model(*model.features([WAVEFORM])).last_hidden_state, before), "looking changed the encoder"
    num_frames = before.shape[1]
    assert layers
    for layer in layers:
        assert layer.weights_HTT.shape[1:] == (num_frames, num_frames)
        np.testing.assert_allclose(layer.weights_HTT.sum(axis=-1), 1, atol=1e-4)
        assert (layer.weights_HTT >= 0).all()
        assert 0 < layer.mean_distance < 1.5
        assert 1 / num_frames <= layer.strongest_frame_share <= 1


def test_the_numbers_of_an_attention() -> None:
    eye = attention.Attention(weights_HTT=np.eye(50, dtype=np.float32)[None], frame_duration=0.02)
    assert (eye.mean_distance, eye.near_share) == (0, 1)
    assert eye.strongest_frame_share == pytest.approx(1 / 50)
    first = np.zeros((1, 50, 50), np.float32)
    first[:, :, 0] = 1
    sink = attention.Attention(weights_HTT=first, frame_duration=0.02)
    assert sink.strongest_frame_share == 1
    assert sink.mean_distance == pytest.approx(0.02 * 24.5)
    assert sink.near_share == pytest.approx(11 / 50)


@torch.inference_mode()
def test_attention_weights_give_the_layers_own_output() -> None:
    """Recomputed from Whisper's projections, by the formula."""
    model = build_encoder(EncoderConfig(family="whisper", source=None, architecture=ENCODERS["whisper"]))
    seen: dict[str, torch.Tensor] = {}
    own = model.layers[0].self_attn
    hook = own.register_forward_hook(lambda _, inputs, output: seen.update(given=inputs[0], output=output))
    layer, *_ = attention.attention_of(model, WAVEFORM)
    hook.remove()
    value = own.v_proj(seen["given"])[0]
    mixed = own.out_proj(torch.from_numpy(layer.weights_HTT[0]) @ value)
    torch.testing.assert_close(mixed, seen["output"][0], rtol=0, atol=1e-5)


# --- projectors ----------------------------------------------------------------------------------------------------


def test_the_steps_of_the_chapters_projector(course: Course) -> None:
    model = load_projector_model(course.checkpoint)
    projection = projector.project(model, noise(48_000))
    assert [(step.name, step.values.shape) for step in projection.steps] == [
        ("encoder", (1, 149, 16)),
        ("frames stacked", (1, 30, 80)),
        ("ln_pre", (1, 30, 80)),
        ("gate_proj", (1, 30, HIDDEN_DIM)),
        ("up_proj", (1, 30, HIDDEN_DIM)),
        ("activation", (1, 30, HIDDEN_DIM)),
        ("down_proj", (1, 30, 48)),
        ("ln_post", (1, 30, 48)),
    ]
    steps = {step.name: torch.from_numpy(step.values) for step in projection.steps}
    torch.testing.assert_close(
        torch.nn.functional.silu(steps["gate_proj"]) * steps["up_proj"], steps["activation"], rtol=0, atol=1e-6
    )
    normed = torch.nn.functional.rms_norm(steps["down_proj"], (48,), eps=NORM_EPS)
    torch.testing.assert_close(normed, torch.from_numpy(projection.output))
    text = projector.describe(projection)
    assert "Time reduction: 149 to 30 (5.0x)" in text
    assert "Top 48 of 48 dims capture 100.0% of variance" in text


def test_looking_at_a_projector_leaves_it_as_it_was(aligned: ASRModel) -> None:
    with torch.inference_mode():
        before = aligned.audio_projector(aligned.encode(WAVEFORM))
        projection = projector.project(aligned, WAVEFORM)
        assert torch.equal(torch.from_numpy(projection.output), before)
        assert torch.equal(aligned.audio_projector(aligned.encode(WAVEFORM)), before)
    assert not any(part._forward_hooks for part in aligned.projector.modules())
    variances = projection.variances()
    assert list(variances) == sorted(variances, reverse=True)


@pytest.mark.parametrize("kind", ["swiglu", "mlp", "conv_mlp", "linear", "ultravox", "qformer", "moe"])
def test_another_kind_in_place_of_the_trained_one_has_the_same_loudness(course: Course, kind: str) -> None:
    model = load_projector_model(course.checkpoint)
    model.config = replace(model.config, projector=replace(model.config.projector, spelling_dim=8))
    projector.replace_projector(model, kind=kind, stack_factor=3)
    projection = projector.project(model, noise(48_000))
    assert projection.output.shape[1] >= 50
    assert 0.5 < np.sqrt(np.square(projection.output).mean()) / model.config.projector.output_scale < 2


def test_embeddings_as_pictures(course: Course) -> None:
    found = data.flow(load_projector_model(course.checkpoint), noise(48_000))
    assert found.encoder_TD.shape == (149, 16)
    assert found.projector_AE.shape == (30, 48)
    assert "each step is ~20ms" in data.describe(found)


def test_a_ctc_recogniser_has_no_projector_to_look_at(ctc_folder) -> None:
    with pytest.raises(CheckpointError, match="without a projector"):
        load_projector_model(ctc_folder)
    assert load_encoder(str(ctc_folder)).frame_rate == 12.5


def test_an_encoder_that_nobody_knows() -> None:
    with pytest.raises(UnknownNameError, match="openai/whisper-tiny"):
        load_encoder("openai/whisper-tini")


# --- tables of sizes -----------------------------------------------------------------------------------------------


def test_downsampling_counts_a_last_partial_stack() -> None:
    found = downsampling.downsample(149, (2, 3, 5, 8, 10), duration=3, llm_dim=2048)
    assert [one.tokens for one in found] == [75, 50, 30, 19, 15]
    assert [f"{one.resolution_ms:.1f} {one.memory:.2f}" for one in found] == [
        "40.0 0.59",
        "60.0 0.39",
        "100.0 0.23",
        "157.9 0.15",
        "200.0 0.12",
    ]


def test_a_projector_with_spellings_is_compared_with_kinds_that_have_none() -> None:
    configurations = configs.every_kind(ProjectorConfig(spelling_dim=192))
    spelt = configs.size_up(configurations, encoder_dim=512, llm_dim=576, frames=150, duration=3)
    plain = configs.size_up(configs.every_kind(ProjectorConfig()), encoder_dim=512, llm_dim=576, frames=150, duration=3)
    changed = {one.name: one.parameters - two.parameters for one, two in zip(spelt, plain, strict=True)}
    assert {name: more for name, more in changed.items() if more} == {"conv_blocks": 204_480 + 1_024 * 192 + 192}


def test_configs_have_the_corrected_counts() -> None:
    sized = configs.size_up(configs.CHAPTER, encoder_dim=1280, llm_dim=2048, frames=149, duration=3)
    assert [one.parameters for one in sized] == [121_643_264, 60_825_856, 184_561_664, 58_724_864]
    assert [one.tokens for one in sized] == [30, 30, 19, 75]


def test_decoders_have_the_corrected_widths() -> None:
    found = {one.name: one for one in decoders.measure(("Qwen/Qwen3-8B", "HuggingFaceTB/SmolLM3-3B"))}
    qwen, smollm3 = found.values()
    assert (qwen.hidden_dim, qwen.num_layers, qwen.projector) == (4096, 36, 138_422_528)
    assert (smollm3.hidden_dim, smollm3.projector) == (2048, 121_643_264)
    assert qwen.memory > 2 * qwen.parameters + 16 * (qwen.projector + qwen.lora)


def test_adapters_double_with_the_rank_and_belong_to_48_layers() -> None:
    hubert = meta_encoder(HUBERT_XLARGE)
    assert lora.num_layers(hubert) == 48
    ranks = lora.by_rank(hubert)
    assert {one.name: one.parameters for one in ranks}["Rank 8"] == 1_966_080
    assert all(right.parameters == 2 * left.parameters for left, right in pairwise(ranks))
    targets = [one.parameters for one in lora.by_target(hubert)]
    assert targets == [1_966_080, 1_966_080, 3_932_160, 4_915_200]
    assert lora.feed_forward_names(hubert) == ["intermediate_dense", "output_dense"]


def test_activations_and_their_gates() -> None:
    found = {one.name: one for one in activations.measure()}
    assert found["ReLU"].sparsity == pytest.approx(0.5, abs=0.01)
    assert found["ReGLU"].sparsity == pytest.approx(0.5, abs=0.01)
    assert all(one.sparsity < 1e-5 for name, one in found.items() if name not in ("ReLU", "ReGLU"))
    assert found["Tanh"].value_range <= 2
    assert found["ReLU"].gradient == pytest.approx(math.sqrt(0.5), abs=0.01)


def test_columns_stand_under_each_other() -> None:
    assert table(["a", "bb"], [["x", "1"], ["yy", "222"]]) == "a    bb\n-------\nx     1\nyy  222"


def test_no_clip_means_an_example() -> None:
    assert Request().clip().name == "LJ001-0009.flac"
