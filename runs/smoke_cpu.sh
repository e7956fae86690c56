#!/usr/bin/env bash
# Every step of training on 100 utterances, in minutes on 2 CPU cores: sentences -> speech -> manifest -> feature cache
# -> align -> correct -> eval. It shows that the machinery works, not a good model: the words are ten colours.
#
#   bash runs/smoke_cpu.sh [FOLDER [UTTERANCES [STEPS]]]
#
# Needs the voices of `pip install -e '.[synth]'`, which `make setup` installs.
set -euo pipefail
tiny_audio=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/tiny-audio
utterances=${2:-100} align_steps=${3:-90} correct_steps=$((${3:-90} / 7 + 1))
mkdir -p "${1:-runs/smoke_cpu}" && cd "${1:-runs/smoke_cpu}"

awk -v lines="$utterances" 'BEGIN { srand(7); split("red blue green yellow orange purple black white silver golden", colour, " ")
  for (line = 0; line < lines; line++) { text = ""
    for (word = 0; word < 3 + line % 3; word++) text = text " " colour[1 + int(rand() * 10)]
    print substr(text, 2) } }' > sentences.txt
"$tiny_audio" data synth sentences.txt -o speech --count "$utterances" --seed 7 --quiet
"$tiny_audio" data check speech/manifest.jsonl
"$tiny_audio" data split speech/manifest.jsonl --dev 0.15 --test 0 --by text -o split
"$tiny_audio" data cache split/train.jsonl -o cache --copies 2 --augment

"$tiny_audio" train align --train cache --validation split/dev.jsonl -o align --set optim.max_steps="$align_steps" \
  optim.max_batch_duration=40 optim.warmup_steps=10 validate_every=30 save_every="$align_steps"
"$tiny_audio" train correct --init align/best --train cache --validation split/dev.jsonl -o correct \
  --set optim.max_steps="$correct_steps" optim.max_batch_duration=20 optim.warmup_steps=2 validate_every=6
"$tiny_audio" eval correct/best --dataset split/dev.jsonl --output-dir eval --quiet
