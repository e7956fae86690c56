"""One model of each kind in miniature, and what a trace makes of a tone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fakes import tone
from miniatures import save_encoder
from seeds.conftest import Course, make_course
from tiny_audio.explain.clip import Clip
from tiny_audio.explain.trace import Trace
from tiny_audio.explain.tracing import trace_clip
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.ctc_model import CTCModel
from tiny_models import TINY_CONFIG, WORDS, tiny_asr_model

WAVEFORM = tone(duration=1.5)
CLIP = Clip(name="a <tone>.wav", waveform=WAVEFORM)


def sure(config: ASRConfig = TINY_CONFIG) -> ASRModel:
    """A model that says whole words, so sure of them that it cannot be silence, and of blanks between them."""
    model = tiny_asr_model(config, seed=5)
    words = [token_id for word in WORDS for token_id in model.tokenizer.encode(f" {word}")]
    with torch.no_grad():
        is_word_V = torch.zeros(len(model.table_VE), dtype=torch.bool)
        is_word_V[words] = True
        model.table_VE[~is_word_V] *= 0.02
        model.projector.down.weight *= 12
        model.projector.blank.weight *= 200
        model.projector.blank.bias.fill_(13.0)
    return model


@pytest.fixture(scope="session")
def aligned() -> ASRModel:
    return sure()


@pytest.fixture(scope="session")
def aligned_trace(aligned: ASRModel) -> Trace:
    return trace_clip(aligned, WAVEFORM)


@pytest.fixture(scope="session")
def padded_trace() -> Trace:
    """Of a Whisper that reads 30 s."""
    config = replace(TINY_CONFIG, encoder=replace(TINY_CONFIG.encoder, pad_to_window=True))
    return trace_clip(sure(config), WAVEFORM)


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """HuBERT, the chapters' projector and a language model, in a checkpoint."""
    return make_course(tmp_path_factory.mktemp("course"), "hubert", None)


@pytest.fixture(scope="session")
def unaligned_trace(course: Course) -> Trace:
    return trace_clip(ASRModel.from_pretrained(course.checkpoint), WAVEFORM)


@pytest.fixture(scope="session")
def ctc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AuT with its CTC head."""
    return save_encoder(tmp_path_factory.mktemp("ctc") / "aut", "aut")


@pytest.fixture(scope="session")
def ctc_trace(ctc_folder: Path) -> Trace:
    return trace_clip(CTCModel.load(ctc_folder), WAVEFORM)
