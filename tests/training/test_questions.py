"""Utterances about which something else is asked than the transcript: learnt beside it, refused where not taught."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_audio.data.batch import CachedExample, Question, collate
from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.stream import Source, Step
from tiny_audio.errors import AnswerError, ConfigError, PromptError, UnknownNameError
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.speech_llm import Turn
from tiny_audio.text.prompts import encode_transcript, task_text
from tiny_audio.training.build import build_stream
from tiny_audio.training.config import DataConfig
from tiny_audio.training.examples import training_sources, validation_batches
from tiny_audio.training.loop import run_loop
from tiny_audio.training.run_directory import RunDirectory
from tiny_models import TINY_CONFIG, WORDS, tiny_asr_model
from tiny_training import TOKENIZER, build_objective, examples_of, run_config, write_cache


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return write_cache(tmp_path / "cache", count=12)


def how_many(example: CachedExample) -> str:
    """The answer: the number of words, as a word."""
    return WORDS[len(example.utterance.text.split()) - 1]


def asked(example: CachedExample, *, with_text: bool = True) -> CachedExample:
    question = Question(user=task_text("describe"), answer=tuple(encode_transcript(TOKENIZER, how_many(example))))
    utterance = replace(example.utterance, id=f"{example.utterance.id}?", task="describe")
    return replace(example, utterance=utterance, question=question, labels=example.labels if with_text else ())


def step_of(examples: list[CachedExample]) -> Step:
    return Step(
        index=0,
        epoch=0,
        seed=0,
        ids=tuple(one.utterance.id for one in examples),
        labels=tuple(one.labels for one in examples),
        duration=1.0,
        answers=tuple(one.question.answer if one.question else one.labels for one in examples),
    )


def test_a_question_is_learnt_beside_the_transcript_and_the_prompt_decides(cache: FeatureCache, tmp_path: Path):
    objective = build_objective("full", dropout=False)
    assert objective.teach("describe") == task_text("describe")
    examples = [one for plain in examples_of(cache)[:3] for one in (plain, asked(plain))]
    config = run_config(100, "full", save_every=1000, validate_every=1000)
    stream = build_stream(config, [Source(examples=examples)], objective)
    run = RunDirectory(tmp_path / "run", config)
    run_loop(objective, stream, {}, config, run)

    model = objective.model.eval()
    for example in examples:
        batch = collate([example])
        with torch.inference_mode():
            projected = model.projector(batch.features_BTD, batch.lengths_B)
            lengths_B = model.projector.output_lengths(batch.lengths_B)
            embeds = model.audio_embeddings(projected, lengths_B, model.table_VE)
            (written,) = model.speech_llm.generate([Turn(embeds[0], batch.users[0])], max_tokens=8)
        if example.question is not None:
            assert [written] == batch.answers
        else:
            assert len(written) > 1  # the transcript takes this small model longer; it is no answer to the question
    assert ASRConfig.load(run.checkpoint / "config.json").tasks == ("transcribe", "describe")


@pytest.mark.parametrize("with_text", [True, False])
def test_parts_of_a_step_add_up_and_a_question_without_text_has_no_ctc_loss(cache: FeatureCache, with_text: bool):
    objective = build_objective("correct", dropout=False).eval()
    plain = examples_of(cache)[:4]
    examples = [*plain, *(asked(one, with_text=with_text) for one in plain)]
    step = step_of(examples)
    assert step.num_answer_labels == sum(len(one.labels) for one in plain) + 4
    whole = objective(collate(examples), step).metrics
    parts = [objective(collate([example]), step).metrics for example in examples]
    for name in ("loss", "ctc_loss", "llm_loss"):
        assert sum(part[name] for part in parts) == pytest.approx(whole[name], rel=1e-4)
    halves = [objective(half, step).metrics["loss"] for half in collate(examples).halves()]
    assert sum(halves) == pytest.approx(whole["loss"], rel=1e-4)
    if not with_text:
        assert [part["ctc_loss"] for part in parts[4:]] == [0.0] * 4
        alone = objective(collate(plain), replace(step_of(plain), answers=None)).metrics
        assert whole["ctc_loss"] == pytest.approx(alone["ctc_loss"], rel=1e-4)


def test_sources_keep_their_questions_where_they_are_taught_and_list_them_where_not(tmp_path: Path):
    cache = write_cache(tmp_path / "cache", count=5)
    index = tmp_path / "cache" / "index.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    for line in [line for line in lines if "text" in line][:2]:
        line |= {"task": "describe", "response": "one two"}
    next(line for line in lines if line.get("id") == "u4").update(task="describe", text="")
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    meta = tmp_path / "cache" / "cache.json"
    objective = build_objective("correct")
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"encoder_sha256": None}))
    assert cache.dim == 8

    (source,) = training_sources([str(tmp_path / "cache")], tmp_path, objective, DataConfig())
    questions = [one.question for one in source.examples]
    assert [one is not None for one in questions] == [True, True, False, False]
    (nothing,) = map(json.loads, (tmp_path / "dropped.jsonl").read_text().splitlines())
    assert (nothing["id"], nothing["reason"]) == ("u4", "asks for 'describe' and has no response to learn")
    assert questions[0].answer == tuple(encode_transcript(TOKENIZER, "one two"))
    assert objective.model.config.tasks == ("transcribe", "describe")
    batches = validation_batches(str(tmp_path / "cache"), tmp_path, objective, max_utterances=9)
    assert sum(len(batch.ids) for batch in batches) == 2

    (source,) = training_sources([str(tmp_path / "cache")], tmp_path, build_objective("align"), DataConfig())
    assert len(source.examples) == 2
    dropped = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    reason = "asks for 'describe', and this training teaches transcripts alone"
    assert [row["reason"] for row in dropped if row["id"] != "u4"] == [reason] * 2
    assert len(dropped) == 3


@pytest.mark.parametrize("aligned", [True, False])
def test_the_recogniser_answers_as_the_model_does_and_refuses_by_name_what_it_was_not_taught(aligned: bool):
    projector = replace(TINY_CONFIG.projector, aligned=aligned, kind="mlp" if not aligned else "aligned_conv")
    config = replace(TINY_CONFIG, tasks=("transcribe", "describe"))
    config = config if aligned else replace(config, projector=projector)
    model = tiny_asr_model(config)
    rng = np.random.default_rng(0)
    waveforms = [rng.normal(0, 0.1, size).astype(np.float32) for size in (9000, 24_000)]
    recognizer = Recognizer(model, dtype="float32")
    answers = recognizer.answer_waveforms(waveforms, "describe")
    assert answers == [model.generate([one], task="describe", max_new_tokens=64)[0] for one in waveforms]
    assert answers == [recognizer.answer_waveforms([waveform], "describe")[0] for waveform in waveforms]
    with pytest.raises(PromptError, match="trained to transcribe, describe, not to 'emotion'"):
        recognizer.answer_waveforms(waveforms, "emotion")
    with pytest.raises(AnswerError, match="not to 'emotion'"):
        Transcriber(recognizer, name="tiny").respond_batch(waveforms, "emotion")
    with pytest.raises(UnknownNameError, match="unknown task"):
        recognizer.answer_waveforms(waveforms, "sing")
    if aligned:
        with pytest.raises(ConfigError, match="needs the language model"):
            Recognizer(model, mode="fast", dtype="float32").answer_waveforms(waveforms, "describe")
