"""Chapter 000, audio processing and encoders: its numbers, from the models at full size, and its scripts.

What it gets wrong is in `docs/seed-corrections.md`.
"""

import json

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModel, Wav2Vec2FeatureExtractor

from seeds.conftest import Course
from seeds.corrections import HUBERT, encoder, encoder_lora, size
from tiny_audio import ASRConfig, ASRModel
from tiny_audio.audio.io import load_audio
from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.cli import main
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.models.encoders.presets import ARCHITECTURES
from tiny_audio.recipes import build_recipe

CHAPTER_LAYERS, LAYERS = 24, 48
CHAPTER_ROWS = {
    "encoder": (1_267_200_000, 1_966_080, 1_265_233_920, "0.16"),
    "projector": (121_643_264, 121_643_264, 0, "100.00"),
    "decoder": (8_000_000_000, 15_335_424, 7_984_664_576, "0.19"),
    "overall": (9_388_843_264, 138_944_768, 9_249_898_496, "1.48"),
}
"""Total, trained, frozen, percent as the chapter expects them."""


def test_3_seconds_are_48000_samples_and_149_frames_of_20_ms() -> None:
    hubert = encoder("hubert", HUBERT)
    samples = 3 * SAMPLE_RATE
    lengths = torch.tensor([samples, SAMPLE_RATE, 10 * SAMPLE_RATE, 30 * SAMPLE_RATE])
    assert samples == 48_000
    assert hubert.output_lengths(lengths).tolist() == [149, 49, 499, 1499]
    assert hubert.dim == 1280
    assert f"{samples / 149:.1f}x" == "322.1x"
    assert f"{samples / 149 / SAMPLE_RATE * 1000:.1f}ms" == "20.1ms"
    assert np.prod([stride for _, stride in hubert.kernels_and_strides]) == 320


def test_the_seven_convolutions_lead_to_149() -> None:
    length, lengths = 48_000, []
    for kernel, stride in encoder("hubert", HUBERT).kernels_and_strides:
        length = (length - kernel) // stride + 1
        lengths.append(length)
    assert lengths == [9599, 4799, 2399, 1199, 599, 299, 149]


def test_the_output_of_3_seconds_is_1_149_1280() -> None:
    """The real width, one layer of it."""
    sizes = ARCHITECTURES["hubert"][HUBERT] | {"num_hidden_layers": 1}
    hubert = build_encoder(EncoderConfig(family="hubert", source=None, architecture=sizes))
    waveform = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    with torch.inference_mode():
        assert hubert(*hubert.features([waveform])).last_hidden_state.shape == (1, 149, 1280)


def test_16_heads_and_wav2vec_2_as_a_replacement() -> None:
    hubert = encoder("hubert", HUBERT)
    wav2vec2 = encoder("wav2vec2", "facebook/wav2vec2-large-960h-lv60-self")
    assert hubert.model.config.num_attention_heads == 16
    assert hubert.dim // 16 == 80
    assert wav2vec2.output_lengths(torch.tensor([48_000])).tolist() == [149]
    assert wav2vec2.dim == 1024  # so the projector has to be another one
    assert f"{size(hubert) / size(wav2vec2):.1f}" == "3.1"


def test_the_expected_table_of_parameters_adds_up_and_the_true_one_is_another() -> None:
    parts = [CHAPTER_ROWS[part] for part in ("encoder", "projector", "decoder")]
    for total, trained, frozen, percent in CHAPTER_ROWS.values():
        assert total - trained == frozen
        assert f"{100 * trained / total:.2f}" == percent
    assert tuple(map(sum, list(zip(*parts, strict=True))[:3])) == CHAPTER_ROWS["overall"][:3]
    counts = build_recipe("hubert_xlarge_swiglu_qwen3_8b").count_parameters()
    assert {part: (count.total, count.trainable) for part, count in counts.items()} == {
        "encoder": (964_463_488, 1_966_080),
        "projector": (138_422_528, 138_422_528),
        "decoder": (8_221_406_208, 30_670_848),
    }


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        (1, "  0.12M params (0.01% of model)"),
        (2, "  0.25M params (0.02% of model)"),
        (4, "  0.49M params (0.04% of model)"),
        (8, "  0.98M params (0.08% of model)"),
        (16, "  1.97M params (0.15% of model)"),
        (32, "  3.93M params (0.30% of model)"),
        (64, "  7.86M params (0.60% of model)"),
        (128, " 15.73M params (1.21% of model)"),
    ],
)
def test_lora_experiment_prints_half_of_what_the_adapters_have(rank: int, expected: str) -> None:
    printed = CHAPTER_LAYERS * 2 * (1280 * rank + rank * 1280)
    assert f"{printed / 1e6:6.2f}M params ({100 * printed / 1.3e9:.2f}% of model)" == expected
    assert encoder_lora(rank) == printed * LAYERS / CHAPTER_LAYERS
    assert encoder_lora(rank) / encoder_lora(8) == rank / 8  # the chapter's memory factor


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("q_proj", "v_proj"), "0.98"),
        (("q_proj", "k_proj"), "0.98"),
        (("q_proj", "k_proj", "v_proj", "out_proj"), "1.97"),
        (("intermediate_dense", "output_dense"), "2.46"),
    ],
)
def test_lora_targets_under_their_true_names(targets: tuple[str, ...], expected: str) -> None:
    assert f"{encoder_lora(8, *targets) * CHAPTER_LAYERS / LAYERS / 1e6:.2f}" == expected


# --- the scripts ---------------------------------------------------------------------------------------------------


def test_explore_audio_centres_the_waveform_whatever_the_noise(hubert_course: Course) -> None:
    waveform = load_audio(hubert_course.audio)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(hubert_course.encoder)
    model = ASRModel.from_pretrained(hubert_course.checkpoint)
    for level in (0, 0.01, 0.05, 0.1):
        noisy = (waveform + np.random.default_rng(1).normal(0, level, len(waveform))).astype(np.float32)
        inputs = extractor(noisy, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        assert inputs.input_values.shape == (1, 48_000)
        assert f"{abs(inputs.input_values.mean()):.4f}" == "0.0000"
        assert f"{inputs.input_values.std():.3f}" == "1.000"
        ours, _ = model.encoder.features([noisy])
        torch.testing.assert_close(ours, inputs.input_values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 16_000, 32_000, 44_100])
def test_a_file_of_any_rate_becomes_16_khz(rate: int, tmp_path) -> None:
    soundfile.write(tmp_path / "test.wav", np.zeros(3 * rate, np.float32), rate)
    assert load_audio(tmp_path / "test.wav").shape == (48_000,)


def test_explore_hubert_gives_what_transformers_gives(hubert_course: Course) -> None:
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(hubert_course.encoder)
    inputs = extractor(load_audio(hubert_course.audio), sampling_rate=SAMPLE_RATE, return_tensors="pt")
    ours = build_encoder(EncoderConfig(family="hubert", source=hubert_course.encoder))
    theirs = AutoModel.from_pretrained(hubert_course.encoder)
    with torch.no_grad():
        embeddings = ours(**inputs).last_hidden_state
        torch.testing.assert_close(embeddings, theirs(**inputs).last_hidden_state, rtol=0, atol=1e-5)
    assert embeddings.shape == (1, 149, ours.dim)


def test_count_params_and_show_params_agree(hubert_course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    config = ASRConfig.from_pretrained(hubert_course.checkpoint, trust_remote_code=True)
    model = ASRModel.from_pretrained(hubert_course.checkpoint, config=config)

    def count(module: torch.nn.Module) -> tuple[int, int]:
        total = sum(parameter.numel() for parameter in module.parameters())
        return total, sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)

    encoder_total, encoder_trained = count(model.encoder)
    projector_total, projector_trained = count(model.projector)
    decoder_total, decoder_trained = count(model.decoder)
    assert projector_trained == projector_total == 2 * 80 * 96 + 96 * 48 + 80 + 48
    assert encoder_trained == 2 * 2 * 2 * (16 + 16)  # layers, targets, rank
    assert decoder_trained == 2 * 2 * ((48 + 48) + (48 + 24))  # one key-value head for two query heads
    total, trained = count(model)
    assert total == encoder_total + projector_total + decoder_total
    assert trained == encoder_trained + projector_trained + decoder_trained
    assert main(["show", "params", hubert_course.checkpoint, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "components": {
            "encoder": {"total": encoder_total, "trainable": encoder_trained},
            "projector": {"total": projector_total, "trainable": projector_trained},
            "decoder": {"total": decoder_total, "trainable": decoder_trained},
        },
        "total": total,
        "trainable": trained,
    }
