#!/usr/bin/env bash
# Everything that made the first tiny-audio-base, in order; the present one: runs/tiny_audio_base.sh.
# Continues where it was interrupted.
#
#   RECORDINGS=folder WORK=folder bash experiments/tiny_audio_base/train.sh
#
# RECORDINGS holds text/sentences.tsv.gz and, each with manifests and Opus files, ljspeech, asterisk, fsdd (train, dev),
# librispeech and barista (unlabelled). Debian: flite, espeak-ng, libttspico-utils. Python: pip install 'tiny-audio[synth]'.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$here/../../.venv/bin" && pwd)
recordings=$(cd "${RECORDINGS:?}" && pwd)
mkdir -p "${WORK:?}/text" && cd "$WORK"
dev=("$recordings"/{asterisk,fsdd,ljspeech}/dev.jsonl)

# Text: 96 thousand sentences mixed with made-up commands, numbers, orders, questions.
"$bin/tiny-audio" data texts -o text/templates.tsv.gz --count 40000 --seed 1
"$bin/python" "$here/mix_texts.py" "$recordings/text/sentences.tsv.gz" text/templates.tsv.gz text/mixed.tsv.gz "${dev[@]}"

# Synthetic speech: 11.7 + 1.8 + 1.5 + 0.4 hours.
"$bin/tiny-audio" data synth text/mixed.tsv.gz -o synth-hibari --voices hibari --count 10329 --seed 1
"$bin/tiny-audio" data synth text/mixed.tsv.gz -o synth-flite --voices flite --count 1545 --seed 2
"$bin/tiny-audio" data synth text/mixed.tsv.gz -o synth-pico --voices pico --hours 1.5 --seed 3
"$bin/tiny-audio" data synth text/mixed.tsv.gz -o synth-espeak --voices espeak --hours 0.4 --seed 5
# The language model learns to correct on clips that the projector has not been aligned on.
head -n 8000 synth-hibari/manifest.jsonl > synth-hibari/align.jsonl
tail -n +8001 synth-hibari/manifest.jsonl > synth-hibari/correct.jsonl

# Real speech without text gets it from plain Whisper base; what disagrees with an earlier pseudo label is dropped.
mkdir -p labelled
"$bin/tiny-audio" data label "$recordings/librispeech/unlabelled.jsonl" -o labelled/librispeech.jsonl --agree-field pseudo_text --max-disagreement 0.15
"$bin/tiny-audio" data label "$recordings/barista/unlabelled.jsonl" -o labelled/barista.jsonl --agree-field pseudo_text --max-disagreement 0.2

# Encoder output, once, of augmented copies.
"$bin/tiny-audio" data cache "$recordings/ljspeech/train.jsonl" -o cache/ljspeech-train --copies 8 --augment
"$bin/tiny-audio" data cache "$recordings/asterisk/train.jsonl" -o cache/asterisk-train --copies 8 --augment
"$bin/tiny-audio" data cache "$recordings/fsdd/train.jsonl" -o cache/fsdd-train --copies 2 --augment
"$bin/tiny-audio" data cache synth-hibari/align.jsonl -o cache/synth-hibari --augment
"$bin/tiny-audio" data cache synth-hibari/correct.jsonl -o cache/synth-hibari-correct --augment
for voice in pico flite espeak; do
  "$bin/tiny-audio" data cache "synth-$voice/manifest.jsonl" -o "cache/synth-$voice" --augment
done
"$bin/tiny-audio" data cache labelled/librispeech.jsonl -o cache/librispeech --augment --copies 4
"$bin/tiny-audio" data cache labelled/barista.jsonl -o cache/barista --augment --copies 3

read_aloud=(cache/ljspeech-train cache/asterisk-train cache/fsdd-train cache/synth-{hibari,pico,flite,espeak})
validation=("$recordings/ljspeech/dev.jsonl" "$recordings/asterisk/dev.jsonl")
"$bin/tiny-audio" train align --train "${read_aloud[@]}" --validation "${validation[@]}" -o runs/align1 \
  --set optim.max_steps=1400 validate_every=100 save_every=100 optim.warmup_steps=150
"$bin/tiny-audio" train align --init runs/align1/checkpoint --train "${read_aloud[@]}" "cache/librispeech*2" cache/barista \
  --validation "${validation[@]}" -o runs/align2 \
  --set optim.max_steps=2400 validate_every=200 save_every=200 optim.warmup_steps=50
"$bin/tiny-audio" train correct --init runs/align2/checkpoint \
  --train "cache/synth-hibari-correct*2" cache/librispeech cache/barista cache/asterisk-train cache/ljspeech-train cache/synth-flite \
  --validation "${validation[@]}" -o runs/correct \
  --set optim.max_steps=560 validate_every=140 save_every=70 optim.warmup_steps=40 optim.learning_rate=0.0001 \
  optim.lora_learning_rate=0.0005 mask.spans_per_second=0.6 max_validation_utterances=60
