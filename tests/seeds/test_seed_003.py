"""Chapter 003, the end-to-end architecture: its numbers, and its script on a checkpoint in miniature.

What it gets wrong is in `docs/seed-corrections.md`.
"""

import torch

from miniatures import noise
from seeds.conftest import Course
from seeds.corrections import SMOLLM3, TURBO, encoder, llm
from tiny_audio import ASRConfig, ASRModel
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.recipes import build_recipe


def test_48000_samples_become_150_vectors_of_1280_and_30_of_2048() -> None:
    recipe = build_recipe("whisper_stack5_smollm3")
    whisper = encoder("whisper", TURBO)
    frames = whisper.output_lengths(torch.tensor([48_000]))
    with torch.device("meta"):
        projector = build_projector(recipe.model.projector, encoder_dim=whisper.dim, llm_dim=recipe.model.llm_dim)
    assert (frames.tolist(), whisper.dim) == ([150], 1280)
    assert projector.output_lengths(frames).tolist() == [30]
    assert recipe.model.llm_dim == llm(SMOLLM3).config.hidden_size == 2048
    assert recipe.model.audio_downsample_rate == 5


def test_encoder_and_decoder_are_frozen_and_the_projector_is_trained() -> None:
    counts = build_recipe("whisper_stack5_smollm3").count_parameters()
    assert {part: count.trainable for part, count in counts.items()} == {
        "encoder": 0,
        "projector": 121_643_264,
        "decoder": 0,
    }


def test_trace_data(whisper_course: Course) -> None:
    sample = {"array": noise(48_000).astype("float64"), "sampling_rate": 16_000}  # as `datasets` gives it
    audio_input = torch.tensor(sample["array"]).unsqueeze(0)
    config = ASRConfig.from_pretrained(whisper_course.checkpoint, trust_remote_code=True)
    model = ASRModel.from_pretrained(whisper_course.checkpoint, config=config)
    model.eval()
    with torch.no_grad():
        encoder_output = model.encode(audio_input, sample["sampling_rate"])
        projector_output = model.audio_projector(encoder_output)
    assert encoder_output.shape == (1, 150, config.encoder_dim)
    assert projector_output.shape == (1, 150 // config.audio_downsample_rate, config.llm_dim)
    for embeddings in (encoder_output, projector_output):
        picture = embeddings.squeeze(0).T.numpy()  # what `imshow` asks for
        assert picture.shape == (embeddings.shape[2], embeddings.shape[1])
        assert picture.std() > 0


def test_a_model_of_a_configuration_alone_has_a_projector_that_nobody_trained(whisper_course: Course) -> None:
    config = ASRConfig.from_pretrained(whisper_course.checkpoint)
    trained, again = (ASRModel.from_pretrained(whisper_course.checkpoint, config=config) for _ in range(2))
    new, other = ASRModel(config), ASRModel(config)
    weights = [model.projector.gate_proj.weight for model in (trained, again, new, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[2], weights[3])
