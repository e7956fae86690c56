"""The first merges of a byte-pair encoding write every text, in the ids of the whole."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tiny_audio.errors import ConfigError
from tiny_audio.text.prompts import decode_transcript, encode_transcript
from tiny_audio.text.truncated_bpe import TruncatedBPE

SENTENCES = ["the king of the land", "the thing that the singer sings", "a landing of kings, and the end"] * 3
NUM_LETTERS = 257
"""All bytes and the control token."""


@pytest.fixture(scope="module")
def whole() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|im_end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")


@pytest.mark.parametrize("size", [NUM_LETTERS, NUM_LETTERS + 5, NUM_LETTERS + 20])
def test_every_text_comes_back_and_no_id_is_beyond_the_size(whole: PreTrainedTokenizerFast, size: int):
    units = TruncatedBPE(whole, size)
    for text in [*SENTENCES, "Zürich, 7 µm", "<|im_end|> is only letters"]:
        ids = encode_transcript(units, text)
        assert max(ids) < size
        assert decode_transcript(units, ids) == text
        assert decode_transcript(whole, ids) == text  # the ids mean the same to the language model


def test_of_the_whole_size_it_is_the_whole(whole: PreTrainedTokenizerFast):
    units = TruncatedBPE(whole, len(whole))
    for text in SENTENCES:
        assert encode_transcript(units, text) == encode_transcript(whole, text)
    assert len(units) == len(whole)


def test_the_more_merges_the_fewer_tokens(whole: PreTrainedTokenizerFast):
    counts = [
        sum(len(encode_transcript(TruncatedBPE(whole, size), text)) for text in SENTENCES)
        for size in (NUM_LETTERS, NUM_LETTERS + 10, len(whole))
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == sum(len(f" {text}") for text in SENTENCES)
    assert len(set(counts)) == 3


def test_too_few_and_another_kind_are_refused(whole: PreTrainedTokenizerFast):
    with pytest.raises(ConfigError, match="100 leaves out letters, whose ids reach 256"):
        TruncatedBPE(whole, 100)
    words = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(ConfigError, match="is WordLevel, no BPE"):
        TruncatedBPE(PreTrainedTokenizerFast(tokenizer_object=words), 2)
    with pytest.raises(ConfigError, match="is slow, no BPE"):
        TruncatedBPE(object(), 2)
