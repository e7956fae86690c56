"""The system of the course's first and third chapter: HuBERT-XLarge, stacked SwiGLU projector, Qwen3-8B."""

from dataclasses import replace

from tiny_audio.models.asr_config import (
    ASRConfig,
    EncoderConfig,
    LLMConfig,
    LoRAConfig,
    ProjectorConfig,
    PromptConfig,
)
from tiny_audio.recipes.recipe import Recipe
from tiny_audio.training.config import OptimConfig, TrainConfig


def hubert_xlarge_swiglu_qwen3_8b() -> Recipe:
    """Adapters on the encoder's queries and keys and on the language model's queries and values, projector in full.

    Qwen3-8B is 4096 wide, so the projector has 138,422,528 parameters; the chapters' 121,643,264 are those of a
    2048-wide model.
    """
    model = ASRConfig(
        encoder=EncoderConfig(
            family="hubert",
            source="facebook/hubert-xlarge-ls960-ft",
            lora=LoRAConfig(rank=8, alpha=16.0, targets=("q_proj", "k_proj")),
        ),
        projector=ProjectorConfig(
            kind="swiglu", aligned=False, hidden_dim=8192, stack_factor=5, dropout=0.0, output_scale=1.0
        ),
        llm=LLMConfig(
            source="Qwen/Qwen3-8B",
            training="lora",
            lora=LoRAConfig(rank=64, alpha=128.0, targets=("q_proj", "v_proj")),
        ),
        prompt=PromptConfig(
            template="<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        ),
        encoder_dim=1280,
        llm_dim=4096,
        vocab_size=151_936,
    )
    stage = TrainConfig(
        objective="speech_llm",
        model=model,
        optim=OptimConfig(learning_rate=1e-4, lora_learning_rate=1e-4, epochs=1.0, max_batch_duration=60.0),
    )
    return Recipe(
        name="hubert_xlarge_swiglu_qwen3_8b",
        summary="HuBERT-XLarge with LoRA, SwiGLU projector, Qwen3-8B with LoRA",
        model=model,
        stages={"distill": replace(stage, objective="distill"), "speech_llm": stage},
        hardware="one GPU with 48 GB",
    )
