"""Embeddings made from letters: what they depend on, what they change, and what they learn."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tiny_audio.data.batch import CachedExample, collate
from tiny_audio.data.stream import Source
from tiny_audio.errors import ConfigError
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models import int8
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_trained_state, trained_state
from tiny_audio.models.ctc import ctc_loss
from tiny_audio.models.projectors.build import build_projector, num_parameters
from tiny_audio.models.projectors.spelling import SpellingEncoder
from tiny_audio.text.prompts import decode_transcript, encode_transcript
from tiny_audio.text.token_bytes import token_bytes
from tiny_audio.training.build import build_stream
from tiny_audio.training.config import MaskConfig, TrainConfig
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective
from tiny_audio.training.vocabulary import VocabularySampler
from tiny_models import TINY_CONFIG, tiny_asr_model
from tiny_training import ALIGN, TOKENIZER
from word_systems import SYSTEMS, word_cache

TOKENS = [
    b" the",
    b" The",
    b" THE",
    b"the",
    b" cat",
    b" act",
    b"",
    b" a",
    b"internationalisations and more of it",
    b"\xc3",
]


def encoder(tokens: list[bytes] = TOKENS) -> SpellingEncoder:
    torch.manual_seed(0)
    spelling = SpellingEncoder(12)
    spelling.set_tokens(tokens)
    return spelling


def spelled(config: ASRConfig, *, with_encoder: bool = True, start: bool = False) -> ASRModel:
    """A tiny model whose CTC compares spellings; `start`: as it begins to be trained, with all else learnt."""
    config = replace(config, projector=replace(config.projector, spelling_dim=12))
    model = tiny_asr_model(config, with_encoder=with_encoder)
    model.projector.spelling.set_tokens(token_bytes(model.tokenizer, len(model.table_VE)))
    if start:
        torch.nn.init.zeros_(model.projector.sound.weight)
        torch.nn.init.zeros_(model.projector.sound.bias)
    return model


@torch.inference_mode()
def test_a_token_has_the_same_embedding_whatever_stands_beside_it():
    spelling = encoder()
    whole_VS = spelling()
    assert whole_VS.shape == (len(TOKENS), 12)
    for ids in ([3], [5, 4], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]):
        torch.testing.assert_close(spelling(torch.tensor(ids)), whole_VS[ids], atol=1e-5, rtol=1e-5)
    for index, token in enumerate(TOKENS):
        torch.testing.assert_close(encoder([token])(), whole_VS[[index]], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_letters_their_order_and_the_start_of_a_word_count_and_capitals_stand_apart():
    the, title, upper, inside, cat, act, *_ = encoder()()
    for one, other in [(the, inside), (cat, act), (the, cat)]:
        assert (one - other).abs().max() > 0.01
    capitals = encoder().capitals.weight
    torch.testing.assert_close(title - the, capitals[1] - capitals[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(upper - the, capitals[2] - capitals[0], atol=1e-5, rtol=1e-5)


def test_parameters_are_counted():
    assert SpellingEncoder.num_parameters(12) == sum(tensor.numel() for tensor in encoder().parameters())
    sizes = {"encoder_dim": 8, "llm_dim": 16}
    config = replace(TINY_CONFIG.projector, spelling_dim=12)
    built = build_projector(config, **sizes)
    assert num_parameters(config, **sizes) == sum(tensor.numel() for tensor in built.parameters())


def test_other_projectors_refuse_it():
    with pytest.raises(ConfigError, match="spelling_dim is for 'conv_blocks'; set it to 0 for 'mlp'"):
        build_projector(replace(TINY_CONFIG.projector, kind="mlp", spelling_dim=12), encoder_dim=8, llm_dim=16)


@torch.inference_mode()
def test_a_projector_that_knows_its_words_goes_on_from_there():
    config = replace(TINY_CONFIG, draft_only=True)
    before, after = tiny_asr_model(config), spelled(config, start=True)
    load_trained_state({**trained_state(after), **trained_state(before)}, after)
    frames = torch.randn(2, 40, 64)
    hidden_BAE, blank_BA, residual_BAE = before.projector(frames)
    own_BAK, own_blank_BA, own_residual_BAE = after.projector(frames)
    assert own_BAK.shape[-1] == hidden_BAE.shape[-1] + 12
    torch.testing.assert_close(own_BAK @ after.ctc_table_VE.T, hidden_BAE @ before.ctc_table_VE.T)
    torch.testing.assert_close((own_blank_BA, own_residual_BAE), (blank_BA, residual_BAE))


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        pytest.param(
            "int8", marks=pytest.mark.skipif(not int8.is_supported(), reason="no 8-bit products for this processor")
        ),
    ],
)
def test_the_recogniser_decides_by_embedding_and_spelling(dtype: str):
    model = spelled(TINY_CONFIG, with_encoder=False)
    torch.manual_seed(0)
    frames, lengths = torch.randn(3, 60, 64), torch.tensor([60, 41, 8])
    hypotheses = Recognizer(model, dtype=dtype, mode="fast").transcribe_features(frames, lengths)
    with torch.inference_mode():
        hidden_BAK, blank_BA, _ = model.projector(frames, lengths)
        log_probs = torch.cat([hidden_BAK @ model.ctc_table_VE.T, blank_BA[..., None]], -1).log_softmax(-1)
        for row, (hypothesis, length) in enumerate(zip(hypotheses, [15, 11, 2], strict=True)):
            ids = [i for i in log_probs[row, :length].argmax(-1).unique_consecutive().tolist() if i < 263]
            assert hypothesis.draft == decode_transcript(TOKENIZER, ids)
    # What the language model reads are its own embeddings.
    accurate = Recognizer(model, dtype=dtype).transcribe_features(frames, lengths)
    assert [one.draft for one in accurate] == [one.draft for one in hypotheses]


def test_its_tensors_are_in_a_checkpoint():
    model = spelled(TINY_CONFIG)
    state = trained_state(model)
    assert {"projector.sound.weight", "projector.spelling.out.weight"} <= state.keys()
    other = spelled(TINY_CONFIG, start=True)
    load_trained_state(state, other)
    torch.testing.assert_close(other.ctc_table_VE, model.ctc_table_VE)


def test_the_table_is_made_once_until_training_changes_it():
    model = spelled(replace(TINY_CONFIG, draft_only=True))
    made = model.ctc_table_VE.clone()
    model.keep_ctc_table()
    assert model.ctc_table_VE is model.ctc_table_VE
    assert model.table_VE.data_ptr() == model.ctc_table_VE.data_ptr()
    torch.testing.assert_close(model.table_VE, made[:, :16])
    with torch.no_grad():
        model.train().projector.spelling.out.bias.add_(1)
    torch.testing.assert_close(model.ctc_table_VE[:, 16:], made[:, 16:] + 1)


def test_what_is_drawn_has_the_gradient_of_the_whole_table():
    """All tokens in the sample: the same loss and the same gradients of the letters as `F.ctc_loss`."""
    model = spelled(replace(SYSTEMS["align"], projector=replace(ALIGN.projector, dropout=0.0)), with_encoder=False)
    objective = SpeechLLMObjective(model, mask=MaskConfig(), ctc_weight=1.0, dtype=torch.float32)
    hidden_1AK, blank_1A = torch.randn(1, 9, 28), torch.randn(1, 9)
    labels = [258, 258, 260]

    def gradients(loss: torch.Tensor) -> dict[str, torch.Tensor]:
        model.zero_grad()
        loss.backward()
        return {name: p.grad.clone() for name, p in model.projector.spelling.named_parameters()}

    sampler = VocabularySampler(objective._ctc_rows, 263, [labels], num_frequent=1, num_random=300)
    sample = sampler.draw([labels], torch.Generator().manual_seed(0))
    ours = ctc_loss(hidden_1AK, blank_1A, torch.tensor([9]), [labels], model.table_VE, sample=sample)
    found = gradients(ours.sum())
    logits = torch.cat([blank_1A[..., None], hidden_1AK @ model.ctc_table_VE.T], dim=-1)
    targets = torch.tensor([labels]) + 1
    exact = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, [9], [3], reduction="sum")
    expected = gradients(exact)
    assert ours.item() == pytest.approx(exact.item(), rel=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)
    assert all(gradient.abs().max() > 0 for gradient in expected.values())


def test_micro_batches_that_share_the_spelt_tokens_have_the_gradients_of_each_for_itself(tmp_path: Path):
    examples = [
        CachedExample(cache=cache, utterance=one, labels=tuple(encode_transcript(TOKENIZER, one.text)))
        for cache in [word_cache(tmp_path / "cache", num_utterances=6)]
        for one in cache
    ]
    config = replace(SYSTEMS["align"], projector=replace(SYSTEMS["align"].projector, dropout=0.0))
    model = spelled(config, with_encoder=False)
    objective = SpeechLLMObjective(model, mask=MaskConfig(), ctc_weight=1.0, dtype=torch.float32).train()
    stream = build_stream(
        TrainConfig(objective="align", num_frequent_tokens=2, num_random_tokens=20),
        [Source(examples=examples)],
        objective,
    )
    step = stream.step(0)
    batches = [collate(examples[:2]), collate(examples[2:])]

    def gradients(*, shared: bool) -> dict[str, torch.Tensor]:
        objective.zero_grad()
        if shared:
            objective.begin_step(step)
        for batch in batches:
            torch.manual_seed(0)
            objective(batch, step).loss.backward()
        objective.end_step()
        return {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}

    expected = gradients(shared=False)
    found = gradients(shared=True)
    assert objective.sampler is not None
    assert found.keys() == expected.keys()
    assert any("spelling" in name for name in found)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)
