"""Beam search with an n-gram model against all paths, and what a checkpoint keeps of it."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_audio.errors import NGramError
from tiny_audio.models.beam_search import FrameCandidates, prefix_beam_search
from tiny_audio.models.ctc import collapse
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import AuTConfig
from tiny_audio.models.shallow_fusion import FusionConfig, ShallowFusion
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.text.ngram import END, START, NGram

UNITS = CTCUnits.characters()
TEXTS = ["a cab", "a bad cab", "abba", "a bad dad"]
SMALLEST = AuTConfig(n_mels=16, conv_channels=(16, 16, 16), num_layers=1, num_heads=2, ffn_dim=32, dropout=0.0)


def fusion(**values: float) -> ShallowFusion:
    return ShallowFusion.train(TEXTS, UNITS, order=3, config=FusionConfig(**values))  # type: ignore[arg-type]


def brute_force(log_probs_AV: np.ndarray, scorer: ShallowFusion) -> dict[tuple[int, ...], tuple[float, float]]:
    """Of every text of three units: log-probability over all paths, and score."""
    sums: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_probs_AV.shape[1]), repeat=len(log_probs_AV)):
        text = tuple(collapse(path, 0))
        sums[text] = sums.get(text, 0.0) + math.exp(sum(log_probs_AV[a, unit] for a, unit in enumerate(path)))
    config, names = scorer.config, UNITS.names
    return {
        text: (
            math.log(total),
            math.log(total)
            + config.weight * scorer.ngram.score([names[unit] for unit in text])
            + config.unit_bonus * len(text),
        )
        for text, total in sums.items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_text_of_all_with_its_exact_score(seed: int):
    scorer = fusion(weight=0.7, unit_bonus=0.9)
    log_probs_AV = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=1).numpy()
    exact = brute_force(log_probs_AV, scorer)
    frames = [FrameCandidates(blank=row[0], tokens=[(unit, row[unit]) for unit in (1, 2, 3)]) for row in log_probs_AV]
    found = prefix_beam_search(frames, num_beams=2000, scorer=scorer)
    assert found[0].token_ids == max(exact, key=lambda text: exact[text][1])
    for hypothesis in found:
        log_prob, score = exact[hypothesis.token_ids]
        assert (hypothesis.log_prob, hypothesis.score) == (pytest.approx(log_prob), pytest.approx(score))
    plain = prefix_beam_search(frames, num_beams=2000)
    assert plain[0].token_ids == max(exact, key=lambda text: exact[text][0])
    assert all(hypothesis.score == hypothesis.log_prob for hypothesis in plain)


def say(sound: Sequence[str]) -> list[FrameCandidates]:
    """A frame for each character and a blank behind it; `?` is b or d, d a little likelier."""
    ids = {name: index for index, name in enumerate(UNITS.names)}
    frames = []
    for name in sound:
        tokens = [(ids["d"], -0.6), (ids["b"], -0.8)] if name == "?" else [(ids[name.replace(" ", "▁")], -0.01)]
        frames += [FrameCandidates(blank=-9.0, tokens=tokens), FrameCandidates(blank=-0.01, tokens=[])]
    return frames


def test_the_model_decides_where_the_sound_does_not():
    frames = say("a ca?")
    assert UNITS.decode(prefix_beam_search(frames, num_beams=8)[0].token_ids) == "a cad"
    assert UNITS.decode(prefix_beam_search(frames, num_beams=8, scorer=fusion())[0].token_ids) == "a cab"
    assert UNITS.decode(prefix_beam_search(say("a bad dad"), num_beams=8, scorer=fusion())[0].token_ids) == "a bad dad"


def test_history_and_end_are_those_of_the_whole_text():
    scorer = fusion(weight=1.0, unit_bonus=0.0)
    ids = tuple(UNITS.encode("a bad cab"))
    total = sum(scorer.extend(ids[:place], ids[place]) for place in range(len(ids))) + scorer.finish(ids)
    assert total == pytest.approx(scorer.ngram.score([UNITS.names[unit] for unit in ids]))
    assert scorer.ngram.log_prob((START,), END) > -math.inf


def test_a_model_over_words_is_refused_by_name():
    words = NGram.train([text.split() for text in TEXTS])
    with pytest.raises(NGramError, match=r"lacks \d+ of the recogniser's 28 units, such as .* `tiny-audio ngram`"):
        ShallowFusion(words, UNITS)


def test_a_checkpoint_folder_keeps_it_and_uses_it(tmp_path: Path):
    torch.manual_seed(0)
    model = CTCModel(CTCConfig(encoder=SMALLEST, head_upsample=2), UNITS).eval()
    model.save(tmp_path)
    assert CTCModel.load(tmp_path).fusion is None
    waveforms = [np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)]
    assert CTCModel.load(tmp_path).transcribe_waveforms(waveforms)[0].log_prob is None
    scorer = fusion(weight=2.0, num_beams=3)
    scorer.save(tmp_path)
    loaded = CTCModel.load(tmp_path)
    assert loaded.fusion is not None
    assert loaded.fusion.config == scorer.config
    (hypothesis,) = loaded.transcribe_waveforms(waveforms)
    assert hypothesis.log_prob is not None
    (greedy,) = loaded.transcribe_waveforms(waveforms, num_beams=1)
    assert (greedy.text, greedy.log_prob) == (hypothesis.draft, None)
    (tmp_path / "ngram.json").write_text('{"depth": 1}')
    with pytest.raises(NGramError, match=r"ngram\.json.*make it again"):
        CTCModel.load(tmp_path)


def test_texts_without_units_are_left_out_of_training():
    assert ShallowFusion.train(["a 7 b", "a b"], UNITS).ngram.log_probs == fusion_of("a b").ngram.log_probs
    with pytest.raises(NGramError, match="no text"):
        ShallowFusion.train(["7"], UNITS)


def fusion_of(text: str) -> ShallowFusion:
    return ShallowFusion.train([text], UNITS)
