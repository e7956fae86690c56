"""The systems of the course's second and fourth chapter: Whisper large-v3-turbo and SmolLM3-3B, both frozen."""

from dataclasses import replace

from tiny_audio.models.asr_config import ASRConfig, EncoderConfig, LLMConfig, ProjectorConfig, PromptConfig
from tiny_audio.recipes.recipe import Recipe
from tiny_audio.training.config import OptimConfig, TrainConfig


def whisper_turbo_conv_smollm3() -> Recipe:
    """One convolution of stride 2 and two linear layers between them: 11,730,944 trained parameters."""
    return _recipe(
        "whisper_turbo_conv_smollm3",
        "Whisper large-v3-turbo, convolutional projector, SmolLM3-3B",
        ProjectorConfig(kind="conv_mlp", aligned=False, stack_factor=2, dropout=0.0),
    )


def whisper_stack5_smollm3() -> Recipe:
    """Five frames stacked and a SwiGLU between them: 121,643,264 trained parameters.

    SmolLM3-3B is 2048 wide; the chapter says 1536.
    """
    return _recipe(
        "whisper_stack5_smollm3",
        "Whisper large-v3-turbo, SwiGLU projector over stacks of 5, SmolLM3-3B",
        ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=8192, stack_factor=5, dropout=0.0, output_scale=1.0),
    )


def _recipe(name: str, summary: str, projector: ProjectorConfig) -> Recipe:
    model = ASRConfig(
        encoder=EncoderConfig(family="whisper", source="openai/whisper-large-v3-turbo"),
        projector=projector,
        llm=LLMConfig(source="HuggingFaceTB/SmolLM3-3B"),
        prompt=PromptConfig(
            template="<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        ),
        encoder_dim=1280,
        llm_dim=2048,
        vocab_size=128_256,
    )
    stage = TrainConfig(
        objective="speech_llm",
        model=model,
        optim=OptimConfig(learning_rate=1e-4, epochs=1.0, max_batch_duration=120.0),
    )
    return Recipe(
        name=name,
        summary=summary,
        model=model,
        stages={"distill": replace(stage, objective="distill"), "speech_llm": stage},
        hardware="one GPU with 24 GB",
    )
