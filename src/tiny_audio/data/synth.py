"""Make training speech: sentences read aloud by synthetic voices, as 16 kHz FLAC or Ogg Opus clips with a manifest.

The plan (which words, which voice) is an endless sequence that depends only on the sentences, the voices and the seed;
each clip's own randomness depends only on its id. So a run that was interrupted, or that used other numbers of workers,
ends with the same clips.
"""

import json
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from tiny_audio.audio.timebase import SAMPLE_RATE, samples_to_seconds, seconds_to_samples
from tiny_audio.data.augment import augment, change_speed, rng_for
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.texts import Sentence, join_sentences
from tiny_audio.data.voices import VOICES, Voice, speaker_sex
from tiny_audio.errors import ConfigError, SynthError, UnknownNameError
from tiny_audio.types import Seconds, Waveform

_MAX_JOINED_CHARACTERS = 240
"""About 16 s of speech: longer sentences are not joined with others."""
_MIN_SPEECH: Seconds = 0.1
_MAX_FAILURES = 50
"""So many clips may fail before we ask whether more fail than succeed."""
_SPEECH_THRESHOLD_DB = -40.0
"""Frames more than this below the loudest one are silence: synthetic speech has no noise floor to speak of."""


AUDIO_FORMATS: Mapping[str, tuple[str, str]] = MappingProxyType({"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")})
"""Container and encoding as libsndfile names them; the names are those of the files."""


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What to make.

    Attributes:
        voices: Share of each family of voices (any positive numbers).
        hours: Stop when this much speech exists; None: do not.
        count: Stop after this many planned clips; None: do not. One of the two must be given.
        seed: Everything random follows from it.
        workers: Processes of one thread each.
        noise: Also add rooms, noise and band limits (`augment`) to the stored clips.
        kokoro_voices: Folder of Kokoro's style packs.
        short_share: Clips of a few words.
        joined_share: Clips of two or three sentences; the rest are single sentences.
        pitch_probability: Share of clips whose pitch and formants are moved.
        pitch: Range of that move, as a factor.
        max_duration: Longer clips are refused.
        audio_format: `flac`, or `opus` for a fifth of the size; its encoder takes longer than a fast voice.
    """

    voices: Mapping[str, float]
    hours: float | None = None
    count: int | None = None
    seed: int = 0
    workers: int = 1
    noise: bool = False
    kokoro_voices: Path = Path("kokoro-voices")
    short_share: float = 0.15
    joined_share: float = 0.25
    pitch_probability: float = 0.6
    pitch: tuple[float, float] = (0.85, 1.2)
    max_duration: Seconds = 20.0
    audio_format: Literal["flac", "opus"] = "flac"

    def __post_init__(self) -> None:
        problems = []
        if not self.voices or any(not share > 0 for share in self.voices.values()):
            problems.append(f"voices: found {dict(self.voices)}; expected a positive share for each")
        if (self.hours is None) == (self.count is None):
            problems.append("give either hours or count")
        if (self.hours is not None and not self.hours > 0) or (self.count is not None and self.count < 1):
            problems.append(f"hours {self.hours}, count {self.count}: expected more than 0")
        if self.workers < 1:
            problems.append(f"workers: found {self.workers}; expected 1 or more")
        if problems:
            raise ConfigError(problems)
        for name in self.voices:
            if name not in VOICES:
                raise UnknownNameError("voice", name, VOICES)
        if self.audio_format not in AUDIO_FORMATS:
            raise UnknownNameError("audio format", self.audio_format, AUDIO_FORMATS)


@dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """One clip to make: its id, the voice family and the words."""

    id: str
    voice: str
    sentence: Sentence


@dataclass(frozen=True, kw_only=True)
class SynthReport:
    """What a run left behind: usable clips, their duration, and the clips that could not be made."""

    num_clips: int
    duration: Seconds
    num_failed: int


@dataclass(frozen=True, kw_only=True)
class _Failure:
    clip: PlannedClip
    reason: str


def plan_clips(sentences: Sequence[Sentence], config: SynthConfig) -> Iterator[PlannedClip]:
    """Endless sequence of clips; every sentence is used once before any is used again."""
    rng = rng_for(config.seed, 0, "plan")
    names = list(config.voices)
    shares = np.array([config.voices[name] for name in names], dtype=np.float64)
    deck = _shuffled(sentences, rng)
    short_deck = _shuffled([s for s in sentences if len(s.text.split()) <= 4] or sentences, rng)
    long_deck = _shuffled([s for s in sentences if not s.has_own_spoken_form], rng) if sentences else iter(())
    index = 0
    while True:
        draw = rng.random()
        if draw < config.short_share:
            # Half are short lines as they stand, half are words cut out of sentences, for the wide vocabulary.
            fragment = _cut_fragment(next(long_deck, None), rng) if rng.random() < 0.5 else None
            sentence = fragment or next(short_deck)
        else:
            sentence = next(deck)
            wanted = int(rng.integers(2, 4)) if draw < config.short_share + config.joined_share else 1
            for _ in range(wanted - 1):
                joined = join_sentences(sentence, next(deck))
                if len(joined.spoken) > _MAX_JOINED_CHARACTERS:
                    break
                sentence = joined
        voice = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        yield PlannedClip(id=f"{config.seed:03d}-{index:06d}", voice=voice, sentence=sentence)
        index += 1


def synthesize(
    sentences: Sequence[Sentence], output_dir: Path, config: SynthConfig, *, quiet: bool = False
) -> SynthReport:
    """Fill `output_dir` with `audio/*.flac` (or `.opus`), `manifest.jsonl` and, if any clip failed, `failed.jsonl`.

    Running it again continues: clips in the manifest are kept, failed ones are tried again.

    Raises:
        ConfigError: No sentences, or the folder was made with other settings.
        MissingVoiceError: A voice is not installed.
        ManifestError: The manifest in the folder is damaged.
        SynthError: Most clips fail.
    """
    if not sentences:
        raise ConfigError(["found no sentences; expected one a line"])
    for name in config.voices:
        _open_voice(name, config)  # a missing voice must fail here, not in every worker
    (output_dir / "audio").mkdir(parents=True, exist_ok=True)
    _check_settings(output_dir / "settings.json", config, len(sentences))
    manifest, failures = output_dir / "manifest.jsonl", output_dir / "failed.jsonl"
    done = {utterance.id: utterance for utterance in _recover_manifest(manifest)}
    failures.unlink(missing_ok=True)

    target = config.hours * 3600 if config.hours is not None else float(config.count or 0)
    made: list[Utterance] = []
    num_failed = 0
    duration: Seconds = 0.0
    clips = islice(plan_clips(sentences, config), config.count)
    with (
        tqdm(total=round(target), unit="s" if config.hours else "clip", disable=quiet or None) as bar,
        manifest.open("a", encoding="utf-8") as manifest_file,
    ):
        for outcome in _make_in_order(clips, done, output_dir, config):
            if isinstance(outcome, _Failure):
                num_failed += 1
                _append_failure(failures, outcome)
            else:
                made.append(outcome)
                duration += outcome.duration
                if outcome.id not in done:
                    manifest_file.write(json.dumps(_manifest_row(outcome), ensure_ascii=False) + "\n")
                    manifest_file.flush()
            bar.update(round(duration - bar.n, 1) if config.hours is not None else 1)
            if config.hours is not None and duration >= target:
                break
            if num_failed > max(_MAX_FAILURES, len(made)):
                raise SynthError(f"{num_failed} of {num_failed + len(made)} clips failed; see {failures}")
    # Lines were appended as clips came. The final manifest is in the order of the plan; clips of an earlier, longer
    # run stay.
    kept = {utterance.id: utterance for utterance in made} | done
    write_manifest(manifest, sorted(kept.values(), key=lambda utterance: utterance.id))
    return SynthReport(num_clips=len(made), duration=duration, num_failed=num_failed)


def make_clip(clip: PlannedClip, voice: Voice, config: SynthConfig) -> tuple[Waveform, dict[str, Any]]:
    """Speak one clip; returns 16 kHz audio and its own keys of the manifest (`speaker`, `voice`, `pitch`, `sex`, ...).

    Raises:
        ValueError: Nothing was spoken, or for too long.
    """
    rng = rng_for(config.seed, 0, clip.id)
    speech = voice.speak(clip.sentence.spoken, rng)
    waveform = np.asarray(
        soxr.resample(speech.waveform, speech.sample_rate, SAMPLE_RATE, quality="HQ"), dtype=np.float32
    )
    waveform = trim_silence(waveform)
    # Steps of 0.05, so that clips of the same pitch count as one speaker.
    pitch = round(rng.uniform(*config.pitch) * 20) / 20 if rng.random() < config.pitch_probability else 1.0
    waveform = change_speed(waveform, pitch)
    if waveform.size < seconds_to_samples(_MIN_SPEECH):
        raise ValueError("the voice said nothing")
    waveform = _pad_silence(waveform, rng)
    peak = float(np.max(np.abs(waveform)))
    waveform = waveform * np.float32(rng.uniform(0.25, 0.9) / peak)
    if config.noise:
        waveform = augment(waveform, rng)
    if waveform.size > seconds_to_samples(config.max_duration):
        raise ValueError(f"{samples_to_seconds(waveform.size):.1f} s long, more than {config.max_duration:g} s")
    speaker = speech.speaker if pitch == 1.0 else f"{speech.speaker}/pitch{pitch:.2f}"
    description = {"speaker": speaker, "voice": clip.voice, "pitch": pitch, "clean": not config.noise}
    # A pitch moved further would make another's voice of it.
    if abs(pitch - 1.0) < 0.1 and (sex := speaker_sex(speech.speaker)) is not None:
        description["sex"] = sex
    return waveform, description


def trim_silence(waveform: Waveform) -> Waveform:
    """Without the leading and trailing 10 ms frames that are 40 dB below the loudest one."""
    frame = SAMPLE_RATE // 100
    count = waveform.size // frame
    if count == 0:
        return waveform[:0]
    power = np.mean(waveform[: count * frame].reshape(count, frame) ** 2, axis=1)
    loud = np.flatnonzero(power > max(float(power.max()), 1e-8) * 10.0 ** (_SPEECH_THRESHOLD_DB / 10.0))
    # A frame of margin each side: stops and fricatives begin and end softly.
    return waveform[max(loud[0] - 2, 0) * frame : (loud[-1] + 3) * frame] if loud.size else waveform[:0]


def _pad_silence(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    pauses = [0.0 if rng.random() < 0.2 else rng.uniform(0.05, 0.5) for _ in range(2)]
    return np.pad(waveform, (seconds_to_samples(pauses[0]), seconds_to_samples(pauses[1])))


def _shuffled(sentences: Sequence[Sentence], rng: np.random.Generator) -> Iterator[Sentence]:
    """Endless: one shuffled pass after another, with a generator of its own."""
    own = np.random.default_rng(rng.integers(2**63))
    while sentences:
        for index in own.permutation(len(sentences)):
            yield sentences[index]


def _cut_fragment(sentence: Sentence | None, rng: np.random.Generator) -> Sentence | None:
    """One to five words in a row, without the punctuation around them."""
    if sentence is None:
        return None
    words = sentence.text.split()
    length = int(rng.choice([1, 2, 3, 4, 5], p=[0.4, 0.2, 0.15, 0.15, 0.1]))
    start = int(rng.integers(max(len(words) - length, 0) + 1))
    text = " ".join(words[start : start + length]).strip(" .,;:!?\"'()-")
    return Sentence(text=text) if sum(c.isalpha() for c in text) > 1 else None


_voices: dict[str, Voice] = {}
"""Each process loads a voice once."""


def _open_voice(name: str, config: SynthConfig) -> Voice:
    if name not in _voices:
        _voices[name] = VOICES[name](config.kokoro_voices) if name == "kokoro" else VOICES[name]()
    return _voices[name]


def _make_file(clip: PlannedClip, output_dir: Path, config: SynthConfig) -> Utterance | _Failure:
    try:
        waveform, description = make_clip(clip, _open_voice(clip.voice, config), config)
    except Exception as error:  # one odd sentence must not end hours of work; it is counted and written down
        return _Failure(clip=clip, reason=f"{type(error).__name__}: {error}")
    path = output_dir / "audio" / f"{clip.id}.{config.audio_format}"
    unfinished = path.with_suffix(".part")
    container, encoding = AUDIO_FORMATS[config.audio_format]
    soundfile.write(unfinished, waveform, SAMPLE_RATE, format=container, subtype=encoding)
    unfinished.replace(path)
    return Utterance(
        id=clip.id,
        audio=path.absolute(),
        duration=round(samples_to_seconds(waveform.size), 4),
        text=clip.sentence.text,
        speaker=description.pop("speaker"),
        extra=description,
    )


def _make_in_order(
    clips: Iterator[PlannedClip], done: Mapping[str, Utterance], output_dir: Path, config: SynthConfig
) -> Iterator[Utterance | _Failure]:
    """Outcomes in the order of the plan, so that the run stops at the same clip for any number of workers."""
    if config.workers == 1:
        for clip in clips:
            yield done[clip.id] if clip.id in done else _make_file(clip, output_dir, config)
        return
    # Fork would copy the threads of an already loaded voice; a fresh process is safe.
    with ProcessPoolExecutor(config.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Utterance | Future[Utterance | _Failure]] = deque()

        def finish() -> Utterance | _Failure:
            first = waiting.popleft()
            return first.result() if isinstance(first, Future) else first

        try:
            for clip in clips:
                waiting.append(done.get(clip.id) or pool.submit(_make_file, clip, output_dir, config))
                if len(waiting) >= 4 * config.workers:
                    yield finish()
            while waiting:
                yield finish()
        finally:
            pool.shutdown(cancel_futures=True)


def _check_settings(path: Path, config: SynthConfig, num_sentences: int) -> None:
    """A folder continues only with the settings that decide what its clips are."""
    settings = {
        "seed": config.seed,
        "voices": dict(config.voices),
        "noise": config.noise,
        "short_share": config.short_share,
        "joined_share": config.joined_share,
        "pitch_probability": config.pitch_probability,
        "pitch": list(config.pitch),
        "max_duration": config.max_duration,
        "num_sentences": num_sentences,
    }
    if not path.exists():
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{key}: '{path.parent}' was made with {found.get(key)}, now {value}; use another folder"
        for key, value in settings.items()
        if found.get(key) != value
    ]
    if changed:
        raise ConfigError(changed)


def _recover_manifest(path: Path) -> list[Utterance]:
    """Utterances of an interrupted run; a last line that was cut off is dropped from the file."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    return [utterance for utterance in read_manifest(path) if utterance.audio.exists()]


def _manifest_row(utterance: Utterance) -> dict[str, Any]:
    return {
        "id": utterance.id,
        "audio": f"audio/{utterance.audio.name}",
        "duration": utterance.duration,
        "text": utterance.text,
        "speaker": utterance.speaker,
        **utterance.extra,
    }


def _append_failure(path: Path, failure: _Failure) -> None:
    row = {
        "id": failure.clip.id,
        "voice": failure.clip.voice,
        "text": failure.clip.sentence.text,
        "reason": failure.reason,
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
