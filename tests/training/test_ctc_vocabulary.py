"""A CTC that writes a part of the vocabulary, beside a language model that writes all of it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_audio.data.batch import CachedExample, Question, collate
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.stream import Source
from tiny_audio.errors import ConfigError
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.ctc import ctc_loss
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.text.prompts import decode_transcript, encode_transcript, task_text
from tiny_audio.training.build import build_stream
from tiny_audio.training.config import DataConfig, MaskConfig
from tiny_audio.training.examples import training_sources, validation_batches
from tiny_audio.training.loop import run_loop
from tiny_audio.training.run_directory import RunDirectory
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_models import tiny_asr_model
from tiny_training import STAGES, TOKENIZER, Recorder, run_config, write_cache

LETTERS = 256
"""Of the tiny vocabulary: its bytes, but not its words."""


def letter_model(stage: str) -> ASRModel:
    """With a CTC frame for each encoder frame, so that the letters of a word fit into it."""
    projector = replace(STAGES[stage].projector, ctc_vocab_size=LETTERS, stack_factor=1, dropout=0.0)
    config = replace(STAGES[stage], projector=projector)
    model = tiny_asr_model(config, with_encoder=False)
    model.projector = build_projector(projector, encoder_dim=8, llm_dim=16)
    model.projector.calibrate(model.table_VE)
    return model


def letter_objective(stage: str) -> SpeechLLMObjective:
    return SpeechLLMObjective(letter_model(stage), mask=MaskConfig(), ctc_weight=0.3)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    """In the folder `cache`."""
    write_cache(tmp_path / "cache")
    meta = tmp_path / "cache/cache.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"encoder_sha256": None}))
    return FeatureCache(tmp_path / "cache")


def examples_of(folder: Path, objective: SpeechLLMObjective) -> Sequence[CachedExample]:
    (source,) = training_sources([str(folder / "cache")], folder, objective, DataConfig())
    return source.examples  # type: ignore[return-value]


def test_the_ctc_learns_the_words_letter_by_letter(cache: FeatureCache, tmp_path: Path):
    objective, recorder = letter_objective("align"), Recorder()
    examples = examples_of(tmp_path, objective)
    for example in examples:
        assert max(example.labels) < LETTERS
        assert decode_transcript(TOKENIZER, list(example.labels)) == example.utterance.text
        assert example.question is None  # there is nobody to answer
    config = run_config(200)
    stream = build_stream(config, [Source(examples=examples)], objective)
    run_loop(objective, stream, {}, config, RunDirectory(tmp_path / "run", config), observers=[recorder])
    assert recorder.losses[-1] < 0.3 * recorder.losses[0]


def test_the_language_model_learns_its_own_tokens(cache: FeatureCache, tmp_path: Path):
    objective = letter_objective("correct")
    examples = examples_of(tmp_path, objective)
    for example in examples:
        assert example.question.user == task_text("transcribe")
        assert example.question.answer == tuple(encode_transcript(TOKENIZER, example.utterance.text))
        assert len(example.question.answer) < len(example.labels)
    stream = build_stream(run_config(2, "correct"), [Source(examples=examples)], objective)
    step = stream.step(0)
    assert step.num_answer_labels < step.num_labels
    batches = validation_batches(str(tmp_path / "cache"), tmp_path, objective, max_utterances=9)
    assert sum(len(batch.ids) for batch in batches) == 9


def test_silence_is_learnt_too_where_the_answer_is_spelled_otherwise(cache: FeatureCache):
    """Noise without a word teaches the CTC its blank; only another question without a text says nothing about it."""
    objective = letter_objective("correct")
    silent = replace(next(iter(cache)), text="")
    losses = []
    for user in (task_text("transcribe"), task_text("describe")):
        example = CachedExample(cache=cache, utterance=silent, labels=(), question=Question(user=user, answer=(3,)))
        batch = collate([example])
        stream = build_stream(run_config(1, "correct"), [Source(examples=[example])], objective)
        losses.append(objective(batch, stream.step(0)).metrics["ctc_loss"])
    assert losses[0] > 0 == losses[1]


@torch.inference_mode()
def test_the_recogniser_scores_what_the_language_model_expects_by_the_letters_of_the_ctc(cache: FeatureCache):
    model = letter_model("correct").eval()
    examples = [CachedExample(cache=cache, utterance=one, labels=()) for one in list(cache)[:8]]
    batch = collate(examples)
    recognizer = Recognizer(model)
    heard = recognizer._hear(batch.features_BTD, batch.lengths_B)
    num_new = 0
    for one, judged in zip(heard, recognizer._judge(heard), strict=True):
        assert one.posteriors.top_ids_AK.max() < LETTERS
        for text in judged.scores.keys() - one.candidates.keys():
            num_new += 1
            labels = encode_transcript(model.ctc_tokenizer, text)
            frames_1 = torch.tensor([one.projected.blank_BA.shape[1]])
            projected = one.projected
            exact = ctc_loss(projected.hidden_BAE, projected.blank_BA, frames_1, [labels], model.table_VE[:LETTERS])
            assert judged.scores[text].ctc == pytest.approx(-exact.item(), abs=1e-3)
    assert num_new


def test_it_needs_a_ctc():
    with pytest.raises(ConfigError, match="ctc_vocab_size is for a projector trained with CTC"):
        build_projector(replace(STAGES["speech_llm"].projector, ctc_vocab_size=LETTERS), encoder_dim=8, llm_dim=16)
