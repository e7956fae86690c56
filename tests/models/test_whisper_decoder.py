import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import WhisperConfig, WhisperForConditionalGeneration

from tiny_audio.audio.io import load_audio
from tiny_audio.errors import AudioError
from tiny_audio.models.whisper_decoder import END_TOKEN, PROMPT, WhisperTranscriber
from tiny_audio.weights.store import WHISPER_BASE, WHISPER_BASE_CONFIG, WHISPER_BASE_TOKENIZER, fetch, is_cached

EXAMPLES = sorted(path for path in Path(__file__).parents[2].glob("examples/*") if path.suffix in (".flac", ".opus"))
WORDS = [f"w{i}" for i in range(30)]
VOCABULARY = {word: index for index, word in enumerate([*WORDS, END_TOKEN, *PROMPT])}


@pytest.fixture(scope="module")
def whisper():
    torch.manual_seed(3)
    config = WhisperConfig(
        vocab_size=len(VOCABULARY),
        num_mel_bins=80,
        d_model=64,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        max_target_positions=24,
        pad_token_id=VOCABULARY[END_TOKEN],
        bos_token_id=VOCABULARY[END_TOKEN],
        eos_token_id=VOCABULARY[END_TOKEN],
        decoder_start_token_id=VOCABULARY[PROMPT[0]],
    )
    model = WhisperForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        if "layer_norm" not in name:
            torch.nn.init.normal_(parameter, std=0.25)
    return model


def transcriber_of(whisper, **options) -> WhisperTranscriber:
    state = {name: tensor.clone() for name, tensor in whisper.state_dict().items() if name != "proj_out.weight"}
    return WhisperTranscriber(state, Tokenizer(models.WordLevel(VOCABULARY, unk_token="w0")), **options)


@pytest.fixture(scope="module")
def encoded():
    torch.manual_seed(5)
    return torch.randn(3, 40, 64)


def test_every_token_is_the_likeliest_after_those_before(whisper, encoded):
    transcriber = transcriber_of(whisper)
    for row, encoded_TD in zip(transcriber.greedy_search(encoded), encoded, strict=True):
        ids = torch.tensor([[VOCABULARY[token] for token in PROMPT] + row])
        with torch.no_grad():  # the whole sequence at once, without a cache
            logits = whisper(encoder_outputs=(encoded_TD[None],), decoder_input_ids=ids).logits[0]
        likeliest = logits.argmax(-1)[len(PROMPT) - 1 :].tolist()
        assert row == likeliest[: len(row)]
        assert len(row) == transcriber.max_new_tokens or likeliest[len(row)] == VOCABULARY[END_TOKEN]


def test_a_batch_says_what_each_row_says_alone(whisper, encoded):
    transcriber = transcriber_of(whisper)
    together = transcriber.greedy_search(encoded)
    assert together == [transcriber.greedy_search(row[None])[0] for row in encoded]


def test_suppressed_tokens_are_never_written(whisper, encoded):
    first = transcriber_of(whisper).greedy_search(encoded)[0][0]
    rows = transcriber_of(whisper, suppressed=[first]).greedy_search(encoded)
    assert all(first not in row for row in rows)
    rows = transcriber_of(whisper, suppressed_first=[first]).greedy_search(encoded)
    assert all(row[0] != first for row in rows if row)


def test_control_tokens_are_not_text(whisper):
    text = transcriber_of(whisper).transcribe([np.zeros(16_000, np.float32)])[0]
    assert set(text.split()) <= set(WORDS)
    assert transcriber_of(whisper).transcribe([]) == []


def test_more_than_a_window_is_refused(whisper):
    with pytest.raises(AudioError, match=r"30.00 s of audio|30\.01 s"):
        transcriber_of(whisper).transcribe([np.zeros(480_160, np.float32)])


def test_whisper_base_writes_what_faster_whisper_writes(tmp_path):
    if not EXAMPLES or not all(map(is_cached, (WHISPER_BASE, WHISPER_BASE_TOKENIZER, WHISPER_BASE_CONFIG))):
        pytest.skip("needs the example clips and Whisper base in the cache; run `make setup`")
    faster_whisper = pytest.importorskip("faster_whisper")
    for name, spec in {"model.bin": WHISPER_BASE, "tokenizer.json": WHISPER_BASE_TOKENIZER}.items():
        (tmp_path / name).symlink_to(fetch(spec))
    (tmp_path / "config.json").symlink_to(fetch(WHISPER_BASE_CONFIG))
    vocabulary = Tokenizer.from_file(str(fetch(WHISPER_BASE_TOKENIZER))).get_vocab(with_added_tokens=True)
    (tmp_path / "vocabulary.json").write_text(json.dumps(sorted(vocabulary, key=vocabulary.__getitem__)))
    theirs = faster_whisper.WhisperModel(str(tmp_path), device="cpu", compute_type="float32")
    waveforms = [load_audio(path) for path in EXAMPLES]
    expected = []
    for waveform in waveforms:
        segments, _ = theirs.transcribe(
            waveform,
            language="en",
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        expected.append(" ".join(segment.text.strip() for segment in segments))
    assert WhisperTranscriber.from_cache().transcribe(waveforms) == expected
