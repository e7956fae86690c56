"""What the chapters' scripts load: a checkpoint of their system in miniature, its encoder's folder, 3 s of sound."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from miniatures import ENCODER_DIMS, LLM_DIM, TOKENIZER, noise, save_encoder, save_llm
from tiny_audio.models.asr_config import (
    ASRConfig,
    EncoderConfig,
    EncoderFamily,
    LLMConfig,
    LoRAConfig,
    ProjectorConfig,
)
from tiny_audio.models.asr_model import ASRModel

HIDDEN_DIM = 96


@dataclass(frozen=True, kw_only=True)
class Course:
    """Where the chapters have hub ids and file names."""

    checkpoint: str
    encoder: str
    audio: Path


def make_course(folder: Path, family: EncoderFamily, lora: LoRAConfig | None) -> Course:
    encoder, llm = save_encoder(folder / "encoder", family), save_llm(folder / "llm")
    config = ASRConfig(
        encoder=EncoderConfig(family=family, source=str(encoder), lora=lora),
        projector=ProjectorConfig(
            kind="swiglu", aligned=False, hidden_dim=HIDDEN_DIM, stack_factor=5, output_scale=1.0
        ),
        llm=LLMConfig(source=str(llm), training="lora" if lora else "frozen", lora=lora),
        encoder_dim=ENCODER_DIMS[family],
        llm_dim=LLM_DIM,
        vocab_size=len(TOKENIZER),
    )
    ASRModel(config).save_pretrained(folder / "checkpoint")
    soundfile.write(folder / "test.wav", noise(48_000), 16_000)
    return Course(checkpoint=str(folder / "checkpoint"), encoder=str(encoder), audio=folder / "test.wav")


@pytest.fixture(scope="session")
def hubert_course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """HuBERT and a language model, both with adapters, as in chapters 000 and 002."""
    lora = LoRAConfig(rank=2, alpha=4.0, targets=("q_proj", "k_proj"))
    return make_course(tmp_path_factory.mktemp("hubert"), "hubert", lora)


@pytest.fixture(scope="session")
def whisper_course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Whisper and a language model, both frozen, as in chapters 001 and 003."""
    return make_course(tmp_path_factory.mktemp("whisper"), "whisper", None)
