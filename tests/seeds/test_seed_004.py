"""What the chapter on AuT-Tiny states, and what is true: each row names the statement and the corrected value.

A row whose chapter value equals the true one is right; in the others the reason says what the chapter overlooks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.audio.aut_features import aut_log_mel
from tiny_audio.audio.timebase import MEL_FRAME_RATE, SAMPLE_RATE
from tiny_audio.errors import ConfigError
from tiny_audio.models.ctc import collapse, frames_needed, is_feasible
from tiny_audio.models.ctc_feasibility import CHARACTER_FRAME_RATE
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import AuTConfig, AuTEncoder, _rotation
from tiny_audio.models.thinker_input import ThinkerInput
from tiny_audio.text.ctc_units import CTCUnits

CONFIG = AuTConfig()
THREE_SECONDS = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
WORDS_PER_SECOND = 157 / 60
"""LJ Speech, read aloud: 157 words and 912 characters a minute."""
CHARACTERS_PER_SECOND = 15.2


@pytest.fixture(scope="module")
def encoder() -> AuTEncoder:
    torch.manual_seed(0)
    return AuTEncoder(CONFIG).eval()


@dataclass(frozen=True)
class Row:
    statement: str
    chapter: Any
    truth: Any
    found: Any
    reason: str = ""


def _numbers() -> list[Row]:
    with torch.device("meta"):
        encoder = AuTEncoder(CONFIG)
    table = encoder.parameter_table()
    convs = [sum(parameter.numel() for parameter in conv.parameters()) for conv in encoder.convs]
    block = sum(parameter.numel() for parameter in encoder.blocks[0].parameters())
    samples = torch.tensor([48_000, 32_000])
    lengths = encoder.output_lengths(samples).tolist()
    return [
        Row("3 s at 16 kHz are 48,000 samples", 48_000, 48_000, 3 * SAMPLE_RATE),
        Row("mel frames a second", 100, 100, MEL_FRAME_RATE),
        Row("mel frames of 3 s", 300, 300, aut_log_mel(THREE_SECONDS).shape[1]),
        Row("mel bins", 128, 128, aut_log_mel(THREE_SECONDS).shape[0]),
        Row("numbers in the mel of 3 s", 38_400, 38_400, aut_log_mel(THREE_SECONDS).numel()),
        Row("convolution channels", (64, 128, 192), (64, 128, 192), CONFIG.conv_channels),
        Row("width, layers, heads", (192, 4, 3), (192, 4, 3), (CONFIG.dim, CONFIG.num_layers, CONFIG.num_heads)),
        Row("FFN is 768 = 4 x 192", 768, 4 * CONFIG.dim, CONFIG.ffn_dim),
        Row("dropout", 0.1, 0.1, CONFIG.dropout),
        Row("total downsampling", 8, 8, CONFIG.downsampling),
        Row("output frames a second", 12.5, 12.5, encoder.frame_rate),
        Row("output frames of 3 s", 37.5, 37, lengths[0], "frames are whole; the half one has no 80 ms of its own"),
        Row("output frames of 3 s, in the answers", "37-38", 37, lengths[0], "one rule: what is left over is dropped"),
        Row("output frames of 'the cat sat on the mat', 2 s", 25, 25, lengths[1]),
        Row("layer 1, 128 -> 64", None, 41_024, convs[0]),
        Row("layer 2, 64 -> 128", None, 41_088, convs[1]),
        Row("layer 3, 128 -> 192", None, 123_072, convs[2]),
        Row("convolutions", 500_000, 205_184, table["conv"], "the sum of the three layers above"),
        Row("one transformer block", None, 444_480, block),
        Row("transformer", 9_000_000, 1_777_920, table["transformer"], "four blocks; 9 M is five times too many"),
        Row("final norm", None, 192, table["final_norm"]),
        Row("projector, about", 50_000, 49_152, table["projector"], "192 x 256 without bias"),
        Row("all parameters, about", 2_050_000, 2_032_448, table["total"], "the chapter's own parts sum to 9.55 M"),
        Row("projector has a bias", False, False, encoder.projector is not None and encoder.projector.bias is not None),
        Row("seconds in 2048 mel frames", 20, 20.48, 2_048 / MEL_FRAME_RATE, "'~20 s'"),
        Row("output frames of 2048 mel frames", None, 256, CONFIG.output_length(2_048)),
        Row("longest input in mel frames", 2_048, None, encoder.max_samples, "any length: nothing is cut off"),
        Row("shortest phoneme (50 ms) in output frames", 0.6, 0.625, 0.05 * encoder.frame_rate),
        Row("longest phoneme (150 ms) in output frames", 2, 1.875, 0.15 * encoder.frame_rate),
        Row("longest word (500 ms) in output frames", 6, 6.25, 0.5 * encoder.frame_rate),
        Row("shortest word (200 ms) in output frames", 2.5, 2.5, 0.2 * encoder.frame_rate),
        Row("CTC frames that 'hello' needs", 5, 6, frames_needed(list("hello")), "a blank between the two l"),
        Row("different ids for the 4 words of the prompt", 5, 4, len({15, 234, 42, 89}), "234 stands twice"),
    ]


@pytest.mark.parametrize("row", _numbers(), ids=lambda row: row.statement)
def test_numbers_of_the_chapter(row: Row):
    assert row.found == row.truth
    says_the_same = row.chapter is None or row.chapter == row.truth
    assert says_the_same or row.reason or abs(row.chapter - row.truth) <= 0.3  # rounded in the chapter


def test_the_chapters_parts_do_not_sum_to_its_total():
    assert 500_000 + 9_000_000 + 50_000 == 9_550_000 != 2_050_000


def test_shapes_of_the_pipeline(encoder: AuTEncoder):
    features, lengths = encoder.features([THREE_SECONDS])
    assert features.shape == (1, 128, 300)  # the chapter's (1, 300, 128), channels first
    shapes, hidden = [], features
    for conv in encoder.convs:
        hidden = F.gelu(conv(F.pad(hidden, (3, 0))))
        shapes.append(tuple(hidden.shape))
    assert shapes == [(1, 64, 150), (1, 128, 75), (1, 192, 37)]
    with torch.inference_mode():
        output = encoder(features, lengths)
        assert output.last_hidden_state.shape == (1, 37, 192)
        assert encoder.projector is not None
        assert encoder.projector(output.last_hidden_state).shape == (1, 37, 256)


@pytest.mark.parametrize(
    ("padding", "frames"),
    [((0, 0), [148, 72, 34]), ((1, 1), [149, 74, 36]), ((2, 2), [150, 75, 38]), ((3, 0), [150, 75, 37])],
    ids=str,
)
def test_only_causal_padding_gives_150_75_37(padding: tuple[int, int], frames: list[int]):
    hidden, lengths = torch.zeros(1, 1, 300), []
    for _ in range(3):
        hidden = F.conv1d(F.pad(hidden, padding), torch.ones(1, 1, 5), stride=2)
        lengths.append(hidden.shape[-1])
    assert lengths == frames


def test_a_centred_spectrogram_of_three_seconds_has_301_frames_of_which_the_last_is_dropped():
    spectrum = torch.stft(torch.zeros(48_000), 1_024, 160, 400, torch.hann_window(400), return_complex=True)
    assert spectrum.shape[1] == 301


def test_hello_as_the_chapter_aligns_it_is_helo():
    def path(*runs: tuple[int, str]) -> list[str]:
        return [label for count, label in runs for _ in range(count)]

    chapter = path((3, "-"), (7, "h"), (2, "-"), (6, "e"), (2, "l"), (3, "l"), (5, "o"), (9, "-"))
    assert len(chapter) == 37
    labels = {label: index for index, label in enumerate("-helo")}
    spell = {index: label for label, index in labels.items()}

    def text(frames: list[str]) -> str:
        return "".join(spell[index] for index in collapse([labels[frame] for frame in frames], 0))

    assert text(chapter) == "helo"
    corrected = [*chapter[:20], "-", *chapter[21:]]  # frame 21, counted from 1, becomes a blank
    assert text(corrected) == "hello"


def test_characters_cannot_be_aligned_to_ordinary_speech_at_12_and_a_half_hertz():
    """One second of read English has more characters than frames; the chapter's example has 1.7 a second."""
    assert CHARACTERS_PER_SECOND > 12.5
    assert (
        pytest.approx(15.5, abs=0.02) == CHARACTERS_PER_SECOND * 1.019 == pytest.approx(CHARACTER_FRAME_RATE, abs=0.02)
    )
    sentence = "printing in the only sense with which we are at present concerned"  # as in LJ Speech, 4.3 s
    assert not is_feasible(int(4.3 * 12.5), list(sentence))
    assert is_feasible(int(4.3 * 25), list(sentence))
    with pytest.raises(ConfigError, match="set head_upsample to 2"):
        CTCModel(CTCConfig(), CTCUnits.characters())
    model = CTCModel(CTCConfig(head_upsample=2), CTCUnits.characters())
    assert not model.feasibility([sentence], [4.3]).infeasible


def test_audio_tokens_are_as_many_as_the_chapter_says_of_text_tokens():
    """'3-5 tokens a word' are the encoder's; a text tokenizer has about 1.3."""
    assert pytest.approx(4.78, abs=0.01) == 12.5 / WORDS_PER_SECOND


def test_the_loss_of_the_chapter_needs_log_probabilities_and_lengths(encoder: AuTEncoder):
    """`ctc_loss(logits, text)` on raw logits is no likelihood: ours stays one, whatever is added to all logits."""
    units = CTCUnits.characters()
    model = CTCModel(CTCConfig(head_upsample=2), units).eval()
    features, lengths = model.encoder.features([THREE_SECONDS])
    labels = [units.encode("hello world")]
    with torch.no_grad():
        before = model.loss(features, lengths, labels).item()
        model.head.bias += 5.0
        assert model.loss(features, lengths, labels).item() == pytest.approx(before, rel=1e-4)
    assert before > 0


def test_batches_need_no_uniform_shape_and_long_audio_is_not_cut(encoder: AuTEncoder):
    """The chapter pads and cuts everything to 2048 mel frames, the transcript of what is cut off included."""
    with torch.inference_mode():
        for num_mel_frames in (64, 300, 2_500):
            assert encoder(torch.zeros(1, 128, num_mel_frames)).lengths.tolist() == [num_mel_frames // 8]


def test_order_of_frames_matters_although_the_chapter_gives_them_no_positions(encoder: AuTEncoder):
    def without_stem(hidden_BTD: Tensor, positions: Tensor) -> Tensor:
        for block in encoder.blocks:
            hidden_BTD = block(hidden_BTD, _rotation(positions, 64), None)
        return hidden_BTD

    hidden, backwards = torch.randn(1, 12, 192), torch.arange(11, -1, -1)
    with torch.inference_mode():
        for positions, is_order_blind in ((torch.zeros(12), True), (torch.arange(12), False)):
            forwards = without_stem(hidden, positions)[:, backwards]
            reversed_input = without_stem(hidden[:, backwards], positions)
            assert torch.allclose(forwards, reversed_input, atol=1e-4) == is_order_blind


def test_audio_and_text_are_42_vectors_for_the_thinker(encoder: AuTEncoder):
    table = torch.nn.Embedding(300, 256)
    prompt = table(torch.tensor([[15, 234, 42, 89, 234]]))
    with torch.inference_mode():
        states, lengths = encoder(*encoder.features([THREE_SECONDS]))
        assert encoder.projector is not None
        tokens = encoder.projector(states)
        assert ThinkerInput(markers=False)(tokens, prompt, lengths).embeds_BLE.shape == (1, 42, 256)
        assert ThinkerInput()(tokens, prompt, lengths).lengths_B.tolist() == [44]
