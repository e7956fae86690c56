#!/usr/bin/env bash
# A small encoder from scratch (recipe aut_tiny_ctc): sentences -> speech of several voices -> log-mel cache -> CTC ->
# once more from the last weights at a high rate -> WER on sentences that it has not heard. Continues where it stopped.
#
#   TEXT=sentences.txt WORK=folder [HOURS=47] [EPOCHS=5] bash runs/aut_tiny.sh
#
# TEXT has one sentence a line (or is what `tiny-audio data texts` writes); lines with digits are left out. Needs
# `pip install -e '.[synth]'` and Debian's flite and libttspico-utils. An hour of processor time for 47 hours of speech,
# which make about 4 GB of log-mel; a corpus of one's own goes in the place of `$WORK/split/train.jsonl`.
set -euo pipefail
ta=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/tiny-audio
text=$(realpath "${TEXT:?}") hours=${HOURS:-47} epochs=${EPOCHS:-5}
[[ -f $text ]] || { echo "aut_tiny.sh: found no file '$TEXT'; expected one with a sentence on each line in TEXT" >&2; exit 1; }
mkdir -p "${WORK:?}" && cd "$WORK"

sentences=sentences.$([[ ${text%.gz} == *.tsv ]] && echo tsv || echo txt)
zcat -f "$text" | awk '!/[0-9]/' >"$sentences"
"$ta" data synth "$sentences" -o speech --voices hibari:0.7,flite:0.15,pico:0.15 --hours "$hours" --workers 2 --quiet
"$ta" data split speech/manifest.jsonl -o split --by text --dev 0.01 --test 0
"$ta" data cache split/train.jsonl --recipe aut_tiny_ctc -o mel

train=("$ta" train ctc --recipe aut_tiny_ctc --train mel --validation split/dev.jsonl --threads 1)
"${train[@]}" -o first --set optim.epochs="$epochs" validate_every=2000 save_every=500
"${train[@]}" --init first/checkpoint -o second --set optim.epochs="$(awk "BEGIN { print $epochs * 0.26 }")" \
  optim.learning_rate=0.0012 optim.warmup_steps=50 validate_every=1500 save_every=500
"$ta" eval second/best --dataset split/dev.jsonl --output-dir eval --quiet
