"""Chapter 001, introduction and architecture: its numbers, from the models at full size.

What it gets wrong is in `docs/seed-corrections.md`.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from seeds.conftest import Course
from seeds.corrections import SMOLLM3, TURBO, encoder, llm, size
from tiny_audio import ASRModel
from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.errors import PromptError
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.models.asr_config import EncoderFamily, ProjectorConfig
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.recipes import build_recipe
from tiny_audio.text.prompts import TASKS


def test_audio_is_16000_samples_a_second_and_a_spectrogram_of_30_s() -> None:
    assert SAMPLE_RATE == 16_000
    log_mel = log_mel_spectrogram(np.zeros(16_000, np.float32), n_mels=128, pad_to=30 * SAMPLE_RATE)
    assert log_mel.shape == (128, 3000)  # most of it padding, the chapter's purple area


def test_the_encoder_gives_1280_numbers_for_20_ms() -> None:
    whisper = encoder("whisper", TURBO)
    assert whisper.dim == 1280
    assert 1000 / whisper.frame_rate == 20
    assert whisper.output_lengths(torch.tensor([30 * SAMPLE_RATE])).tolist() == [1500]


def test_the_projector_is_a_convolution_two_linear_layers_and_gelu_from_1280_to_2048() -> None:
    recipe = build_recipe("whisper_turbo_conv_smollm3")
    with torch.device("meta"):
        projector = build_projector(recipe.model.projector, encoder_dim=1280, llm_dim=2048)
    shapes = {name: tuple(parameter.shape) for name, parameter in projector.named_parameters()}
    assert shapes == {
        "conv.weight": (1280, 1280, 3),
        "linear_1.weight": (2048, 1280),
        "linear_2.weight": (2048, 2048),
    }
    assert size(projector) == 11_730_944  # the "12M"
    assert projector.output_lengths(torch.tensor([1500])).tolist() == [750]


def test_only_the_projector_is_trained() -> None:
    counts = build_recipe("whisper_turbo_conv_smollm3").count_parameters()
    assert {part: count.trainable for part, count in counts.items()} == {
        "encoder": 0,
        "projector": 11_730_944,
        "decoder": 0,
    }


def test_smollm3_is_2048_wide_and_has_3_billion_parameters() -> None:
    assert llm(SMOLLM3).config.hidden_size == 2048
    assert size(llm(SMOLLM3)) == 3_075_098_624


@pytest.mark.parametrize(
    ("family", "source", "dim"),
    [
        ("whisper", "openai/whisper-tiny", 384),
        ("hubert", "facebook/hubert-xlarge-ls960-ft", 1280),
        ("wavlm", "microsoft/wavlm-large", 1024),
        ("wav2vec2", "facebook/wav2vec2-large-960h-lv60-self", 1024),
    ],
)
def test_other_encoders_to_try_give_50_frames_a_second_too(family: EncoderFamily, source: str, dim: int) -> None:
    other = encoder(family, source)
    assert (other.dim, other.frame_rate) == (dim, 50)
    projector = build_projector(ProjectorConfig(kind="conv_mlp", aligned=False), encoder_dim=dim, llm_dim=4)
    assert projector(torch.zeros(1, 8, dim)).shape == (1, 2, 4)


def test_transcribe_describe_and_emotion_are_asked_of_one_model_and_text_without_audio(whisper_course: Course) -> None:
    assert list(TASKS) == ["transcribe", "describe", "emotion"]
    model = ASRModel.from_pretrained(whisper_course.checkpoint)
    waveform = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    with pytest.raises(PromptError, match="trained to transcribe, not to 'emotion'"):
        model.generate([waveform], task="emotion")
    model.config = replace(model.config, tasks=tuple(TASKS))
    for task in TASKS:
        assert len(model.generate([waveform], task=task, max_new_tokens=2)) == 1
    assert len(model.generate(prompt="What is two plus two?", max_new_tokens=2)) == 1


@pytest.mark.parametrize(
    ("said", "written"),
    [("The Quick fox.", "the quick fox"), ("I don't know", "i do not know"), ("twenty two dogs", "22 dogs")],
)
def test_capitals_numbers_and_contractions_are_no_errors(said: str, written: str) -> None:
    assert count_errors([said], [written]).wer == 0
