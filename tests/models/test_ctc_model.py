"""The CTC recogniser: its loss, what it refuses, decoding, feasibility, checkpoints, and that it learns."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from fakes import tone
from tiny_audio.errors import AudioError, CheckpointError, ConfigError, InfeasibleError, UnitsError, WeightsError
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.ctc import collapse
from tiny_audio.models.ctc_feasibility import FeasibilityReport
from tiny_audio.models.ctc_model import CTCConfig, CTCModel, CTCOutput
from tiny_audio.models.encoders.aut import AuTConfig
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.text.ctc_units import CTCUnits

SMALLEST = AuTConfig(n_mels=16, conv_channels=(16, 24, 32), num_layers=1, num_heads=2, ffn_dim=64, dropout=0.0)
CHARACTERS = CTCUnits.characters()
SENTENCES = ["the quick brown fox jumps over the lazy dog", "pack my box with five dozen jugs", "how quick they are"]


def build(head_upsample: int = 2, units: CTCUnits = CHARACTERS, encoder: AuTConfig = SMALLEST) -> CTCModel:
    torch.manual_seed(0)
    return CTCModel(CTCConfig(encoder=encoder, head_upsample=head_upsample), units).eval()


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


@pytest.mark.parametrize("head_upsample", [2, 3])
def test_the_head_writes_several_ctc_frames_for_an_encoder_frame(head_upsample: int):
    model = build(head_upsample)
    features, lengths = model.encoder.features([noise(48_000), noise(20_000)])
    output = model(features, lengths)
    assert output.logits_BAV.shape == (2, 37 * head_upsample, 29)
    assert output.lengths_B.tolist() == [37 * head_upsample, 15 * head_upsample]
    assert model.output_lengths(torch.tensor([48_000, 20_000])).tolist() == output.lengths_B.tolist()
    assert model.frame_rate == 12.5 * head_upsample
    # Consecutive CTC frames come from one encoder frame.
    hidden_BTD, _ = model.encoder(features, lengths)
    assert torch.allclose(output.logits_BAV[0, head_upsample], model.head(hidden_BTD[0, 1])[:29], atol=1e-6)


def test_loss_is_the_sum_over_rows_divided_by_the_labels():
    model = build()
    features, lengths = model.encoder.features([noise(32_000), noise(16_000, 1), noise(24_000, 2)])
    labels = [CHARACTERS.encode("hello"), CHARACTERS.encode("is"), []]
    alone = []
    for row, row_labels in enumerate(labels):
        output = model(features[row : row + 1, :, : lengths[row]])
        targets = torch.tensor([row_labels], dtype=torch.long)
        sizes = output.lengths_B, torch.tensor([len(row_labels)])
        alone.append(F.ctc_loss(output.log_probs().transpose(0, 1), targets, *sizes, reduction="none"))
    expected = torch.cat(alone).sum() / 7
    assert model.loss(features, lengths, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_is_in_float32_under_a_lower_precision():
    model = build()
    features, lengths = model.encoder.features([noise(16_000)])
    labels = [CHARACTERS.encode("so")]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(features, lengths, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(model.loss(features, lengths, labels).item(), rel=0.02)


def test_a_batch_without_any_label_costs_its_blanks():
    model = build()
    features, lengths = model.encoder.features([noise(16_000)])
    expected = -model(features, lengths).log_probs()[0, :, 0].sum()
    assert model.loss(features, lengths, [[]]).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_row_that_cannot_be_aligned_is_refused_and_never_counts_as_learned():
    model = build()
    features, lengths = model.encoder.features([noise(16_000), noise(8_000)])  # 24 and 12 CTC frames
    fits = CHARACTERS.encode("a dozen boxe")
    assert model.loss(features, lengths, [fits, fits]).isfinite()
    with pytest.raises(InfeasibleError, match=r"1 of 2 rows .* \(row 1: 12 frames, needs 13\)"):
        model.loss(features, lengths, [fits, CHARACTERS.encode("a dozen boxes")])
    with pytest.raises(InfeasibleError, match="needs 13"):  # equal neighbours need a frame between them
        model.loss(features, lengths, [fits, CHARACTERS.encode("a dozzen box")])


def test_gradient_reaches_every_parameter():
    model = build().train()
    features, lengths = model.encoder.features([noise(32_000), noise(24_000, 1)])
    model.loss(features, lengths, [CHARACTERS.encode("hello there"), CHARACTERS.encode("you")]).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(
    ("head_upsample", "units"), [(2, CHARACTERS), (1, CTCUnits.train_bpe(SENTENCES, num_units=48))], ids=["char", "bpe"]
)
def test_a_few_utterances_are_learned_by_heart(head_upsample: int, units: CTCUnits, tmp_path: Path):
    waveforms = [tone(duration=duration, hertz=hertz) + noise(round(duration * 16_000), int(hertz)) / 5
                 for duration, hertz in ((2.5, 220), (2.2, 440), (2.0, 880))]  # fmt: skip
    texts = [" ".join(sentence.split()[:4]) for sentence in SENTENCES]
    model = build(head_upsample, units).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    batch = model.encoder.features(waveforms)
    for _ in range(150):
        loss = model.loss(*batch, [units.encode(text) for text in texts])
        if loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert loss < 0.1
    model.save(tmp_path)
    for num_beams in (1, 4):
        hypotheses = CTCModel.load(tmp_path).transcribe_waveforms(waveforms, num_beams=num_beams)
        assert [hypothesis.text for hypothesis in hypotheses] == texts
        assert not hypotheses[0].no_speech


# -- decoding


def test_what_stands_beside_an_utterance_does_not_change_it():
    model = build()
    waveforms = [noise(n, seed) for seed, n in enumerate((48_000, 1_600, 20_000))]
    for num_beams in (1, 3):
        together = model.transcribe_waveforms(waveforms, num_beams=num_beams)
        for waveform, hypothesis in zip(waveforms, together, strict=True):
            (alone,) = model.transcribe_waveforms([waveform], num_beams=num_beams)
            assert (alone.text, alone.draft) == (hypothesis.text, hypothesis.draft)


def test_beam_search_sums_over_the_alignments_of_the_models_own_probabilities(monkeypatch: pytest.MonkeyPatch):
    model = build()
    torch.manual_seed(3)
    log_probs = torch.full((1, 4, 29), -20.0)
    log_probs[0, :, :3] = torch.randn(4, 3)  # blank, a, b
    output = CTCOutput(log_probs, torch.tensor([4]))
    monkeypatch.setattr(model, "forward", lambda *_: output)
    probabilities = output.log_probs()[0, :, :3].exp()
    exact: dict[str, float] = {}
    for path in itertools.product(range(3), repeat=4):
        text = CHARACTERS.decode(collapse(path, 0))
        exact[text] = exact.get(text, 0.0) + math.prod(float(probabilities[a, unit]) for a, unit in enumerate(path))
    (hypothesis,) = model.transcribe_waveforms([noise(4_000)], num_beams=50)
    best = max(exact, key=lambda text: exact[text])
    assert hypothesis.text == best
    assert hypothesis.log_prob == pytest.approx(math.log(exact[best]), abs=1e-4)
    greedy = collapse(probabilities.argmax(dim=1).tolist(), 0)
    assert hypothesis.draft == CHARACTERS.decode(greedy)


def test_only_blanks_are_no_speech():
    model = build()
    with torch.no_grad():
        model.head.bias.unflatten(0, (2, 29))[:, 0] = 30.0
    for num_beams in (1, 4):
        (hypothesis,) = model.transcribe_waveforms([noise(16_000)], num_beams=num_beams)
        assert (hypothesis.text, hypothesis.draft, hypothesis.no_speech) == ("", "", True)


def test_less_than_eighty_milliseconds_are_refused():
    with pytest.raises(AudioError, match=r"at least 0\.08 s"):
        build().transcribe_waveforms([noise(16_000), noise(1_279)])


# -- feasibility


def test_characters_at_the_encoders_own_rate_are_refused_with_the_arithmetic():
    with pytest.raises(
        ConfigError, match=r"12\.5 CTC frames a second.*15\.2 characters.*15\.5; set head_upsample to 2"
    ):
        build(head_upsample=1)
    two_convolutions = replace(SMALLEST, conv_channels=(16, 32))
    assert build(head_upsample=1, encoder=two_convolutions).frame_rate == 25
    with pytest.raises(ConfigError, match="head_upsample is 0"):
        CTCConfig(head_upsample=0)


def test_feasibility_counts_frames_needed_and_available_at_the_highest_speed():
    model = build()
    texts = ["hello", "a dozen boxes", ""]
    report = model.feasibility(texts, [0.48, 0.48, 1.0], speed=1.0)
    assert (report.needed, report.available) == ([6, 13, 0], [12, 12, 24])
    assert report.infeasible == [1]
    assert report.share_infeasible == pytest.approx(1 / 3)
    faster = model.feasibility(texts, [0.48, 0.48, 1.0], speed=1.1)
    assert faster.available == [10, 10, 22]
    with pytest.raises(UnitsError, match="no unit for '7'"):
        model.feasibility(["room 7"], [1.0])


def test_feasibility_agrees_with_the_loss():
    model = build()
    for num_samples in range(8_000, 9_300, 160):
        features, lengths = model.encoder.features([noise(num_samples)])
        (fits,) = (not model.feasibility(["a dozen boxes"], [num_samples / 16_000], speed=1.0).infeasible,)
        if fits:
            assert model.loss(features, lengths, [CHARACTERS.encode("a dozen boxes")]).isfinite()
        else:
            with pytest.raises(InfeasibleError):
                model.loss(features, lengths, [CHARACTERS.encode("a dozen boxes")])


def test_the_report_says_what_matters_in_one_line():
    report = FeasibilityReport(needed=[10, 20, 10], available=[20, 10, 15])
    assert [report.headroom(q) for q in (0, 0.5, 1)] == [0.5, 1.5, 2.0]
    assert "1 of 3 utterances (33.3%)" in str(report)
    assert "0.50 at the tightest, 1.50 in the middle" in str(report)
    assert str(FeasibilityReport(needed=[], available=[])) == "no utterances"


# -- checkpoints


def test_a_loaded_model_gives_the_same_logits(tmp_path: Path):
    for model in (build(), build(1, CTCUnits.train_bpe(SENTENCES, num_units=40))):
        model.save(tmp_path)
        again = CTCModel.load(tmp_path)
        features, lengths = model.encoder.features([noise(16_000)])
        with torch.inference_mode():
            assert torch.equal(model(features, lengths).logits_BAV, again(features, lengths).logits_BAV)
        assert again.config == model.config
        assert not again.training
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors", "units.json"]


def test_no_projector_is_saved_that_ctc_has_not_trained(tmp_path: Path):
    build().save(tmp_path)
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "projector" in name]


def test_the_encoder_of_a_checkpoint_is_a_frozen_encoder_of_a_speech_llm(tmp_path: Path):
    model = build()
    model.save(tmp_path)
    encoder = build_encoder(EncoderConfig(family="aut", source=str(tmp_path)))
    features, lengths = encoder.features([noise(16_000)])
    with torch.inference_mode():
        expected = model.encoder(features, lengths).last_hidden_state
        assert torch.equal(encoder(features, lengths).last_hidden_state, expected)
    assert encoder.dim == 32
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape"])
def test_tensors_that_do_not_fit_are_refused_by_name(damage: str, tmp_path: Path):
    build().save(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    if damage == "missing":
        del state["head.bias"]
    elif damage == "unexpected":
        state["encoder.projector.weight"] = torch.zeros(1)
    else:
        state["head.bias"] = torch.zeros(7)
    save_file(state, path)
    expected = {
        "missing": "missing head.bias",
        "unexpected": "unexpected encoder.projector.weight",
        "shape": r"head\.bias is \(7,\), expected \(58,\)",
    }
    with pytest.raises(CheckpointError, match=expected[damage]):
        CTCModel.load(tmp_path)


def test_other_units_are_refused_by_the_head_they_do_not_fit(tmp_path: Path):
    build().save(tmp_path)
    CTCUnits.characters(["é"]).save(tmp_path / "units.json")
    with pytest.raises(CheckpointError, match=r"head\.bias is \(58,\), expected \(60,\)"):
        CTCModel.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{}", CheckpointError, "expected .*'model_type': 'aut'"),
        ('{"model_type": "aut", "format_version": 1, "architecture": {}}', CheckpointError, "with a CTC head"),
        (
            '{"model_type": "aut", "format_version": 1, "architecture": {"depth": 1}, "head_upsample": 1}',
            CheckpointError,
            "AuT has no 'depth'",
        ),
        ("no JSON", WeightsError, "expected a JSON object"),
        (None, WeightsError, r"config\.json"),
    ],
    ids=str,
)
def test_a_folder_without_a_ctc_model_is_refused(
    content: str | None, error: type[Exception], message: str, tmp_path: Path
):
    build().save(tmp_path)
    (tmp_path / "config.json").unlink()
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(error, match=message):
        CTCModel.load(tmp_path)
