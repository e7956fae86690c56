"""A checkpoint whose CTC over characters knows the words of sentences, stored with matrices in 8 bits.

    .venv/bin/python experiments/tiny_audio_base/give_words.py CHECKPOINT OUTPUT_DIR sentences.tsv.gz rare.tsv.gz ...

Stage `characters` knows the words it has heard. Each file has `source <tab> sentence` in a line; transcripts that are
measured on must not be among them.
"""

import gzip
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tiny_audio.models.character_ctc import words_tensor
from tiny_audio.models.checkpoint import read_checkpoint, write_checkpoint
from tiny_audio.text.word_list import WordList

checkpoint, output_dir, *files = map(Path, sys.argv[1:])
sentences: dict[str, None] = {}
for file in files:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        sentences.update(dict.fromkeys(line.rstrip("\n").split("\t")[1] for line in lines))
words = words_tensor(WordList.count(sentences))
config, tensors = read_checkpoint(checkpoint)
assert config.characters is not None, "expected a checkpoint that stage 'characters' made"
config = replace(config, characters=replace(config.characters, word_bytes=len(words)))
write_checkpoint(output_dir, config, {**tensors, "characters.words": words}, dtype=torch.int8)
