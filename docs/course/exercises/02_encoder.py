"""Exercise 2, encoders: the same word in two sentences, found by sound alone.

Write the three functions, run the file, and read what it prints. 20 minutes; the run takes some seconds.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from tutor import Tutor

import tiny_audio
from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.data.manifest import read_manifest
from tiny_audio.explain.loading import load_encoder
from tiny_audio.explain.samples import samples_folder

tutor = Tutor(__file__)


@tutor.task
def num_frames(num_samples: int) -> int:
    """Frames that Whisper's encoder gives: log-mel frames of 160 whole samples, then half as many, rounded up."""


@tutor.task
def word_vector(frames: Tensor, frame_rate: float, start: float, end: float) -> Tensor:
    """The mean of the frames `(T, D)` from `start` to `end` in seconds; both rounded down, and at least one frame."""


@tutor.task
def standardise(frames: Tensor) -> Tensor:
    """Frames `(T, D)` of which every dimension has mean 0 and standard deviation 1 over time."""


def nearest(vectors: Tensor, clips: list[int]) -> list[int]:
    """For each word the most similar one, by cosine, of another clip."""
    rows = F.normalize(vectors - vectors.mean(dim=0), dim=1)
    clip = torch.tensor(clips)
    return (rows @ rows.T).masked_fill(clip[:, None] == clip, -1).argmax(dim=1).tolist()


def main() -> dict[str, float]:
    """Look up every word of each clip in the others; the share that finds itself, by what was compared."""
    encoder = load_encoder("tiny-audio-base")
    asr = tiny_audio.load_model(mode="fast", word_timestamps=True)
    words: list[str] = []
    clips: list[int] = []
    vectors: dict[str, list[Tensor]] = {}
    for index, clip in enumerate(read_manifest(samples_folder() / "manifest.jsonl")):
        waveform = tiny_audio.load_audio(clip.audio)
        with torch.inference_mode():
            frames = encoder(*encoder.features([waveform])).last_hidden_state[0]
        print(f"{clip.id}: {len(waveform):,} samples, {num_frames(len(waveform))} frames of {frames.shape[1]} numbers")
        kinds = {
            "log-mel bands": (log_mel_spectrogram(waveform).T, 100.0),
            "log-mel bands, standardised": (standardise(log_mel_spectrogram(waveform).T), 100.0),
            "encoder frames": (frames, encoder.frame_rate),
            "encoder frames, standardised": (standardise(frames), encoder.frame_rate),
        }
        for word in asr.transcribe(waveform, sample_rate=16_000).words:
            words.append(word.text.lower().strip(",.;"))
            clips.append(index)
            for kind, (sequence, rate) in kinds.items():
                vectors.setdefault(kind, []).append(word_vector(sequence, rate, word.start, word.end))

    places = {word: {clip for clip, other in zip(clips, words, strict=True) if other == word} for word in words}
    asked = [index for index, word in enumerate(words) if len(places[word]) > 1]
    print(f"\n{len(words)} words, {len(asked)} of them in more than one clip. The most similar word of another clip:")
    shares = {}
    for kind, rows in vectors.items():
        found = nearest(torch.stack(rows), clips)
        shares[kind] = sum(words[found[index]] == words[index] for index in asked) / len(asked)
        print(f"{kind:29} is the same word {shares[kind]:4.0%} of the time, such as")
        print("    " + ", ".join(f"{words[index]} → {words[found[index]]}" for index in asked[2:24:3]))
    return shares


if __name__ == "__main__":
    main()
    tutor.report()
