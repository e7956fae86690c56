#!/usr/bin/env bash
# Every step of training on 100 utterances, in minutes on 2 CPU cores: sentences -> speech -> manifest -> feature cache
# -> align -> correct -> eval. It shows that the machinery works, not a good model: the words are ten colours.
#
#   bash runs/smoke_cpu.sh [FOLDER [UTTERANCES [STEPS]]]
#
# Needs the voices of `pip install -e '.[synth]'`, which `make setup` installs.
set -euo pipefail
tiny_audio=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/tiny-audio
work=${1:-runs/smoke_cpu} utterances=${2:-100} steps=${3:-90}
mkdir -p "$work"

awk -v lines="$utterances" 'BEGIN { srand(7)
  split("red blue green yellow orange purple black white silver golden", colour, " ")
  for (line = 0; line < lines; line++) { text = ""
    for (word = 0; word < 3 + line % 3; word++) text = text " " colour[1 + int(rand() * 10)]
    print substr(text, 2) } }' > "$work/sentences.txt"
"$tiny_audio" data synth "$work/sentences.txt" -o "$work/speech" --count "$utterances" --seed 7 --quiet
"$tiny_audio" data check "$work/speech/manifest.jsonl"
"$tiny_audio" data split "$work/speech/manifest.jsonl" --dev 0.15 --test 0 --by text -o "$work/split"
"$tiny_audio" data cache "$work/split/train.jsonl" -o "$work/cache" --copies 2 --augment

data=(--train "$work/cache" --validation "$work/split/dev.jsonl")
"$tiny_audio" train align "${data[@]}" -o "$work/align" --set optim.max_steps="$steps" \
  optim.max_batch_duration=40 optim.warmup_steps=10 validate_every=30
"$tiny_audio" train correct "${data[@]}" --init "$work/align/best" -o "$work/correct" \
  --set optim.max_steps=$((steps / 7 + 1)) optim.max_batch_duration=20 optim.warmup_steps=2 validate_every=6
"$tiny_audio" eval "$work/correct/best" --dataset "$work/split/dev.jsonl" --output-dir "$work/eval" --quiet
