"""Ours and faster-whisper in turn on the same recordings: speed, first text, errors and memory by length of clip.

    .venv/bin/python benchmarks/inference.py [--json FILE] [--manifest FILE...] [--threads 2] [--clips 5] [--quick]

Four systems, each in a process of its own, so that its peak memory is its own: tiny-audio in both modes, and
faster-whisper in int8 and float32 from the same Whisper file that our encoder comes from (English, greedy, no
timestamps, no text of the window before, no voice detector, temperature 0). One at a time computes, clip by clip, all
with the same number of threads; every clip is heard several times, and its median counts.

2, 5 and 10 s are whole utterances about that long, or else beginnings of longer ones, cut at a pause; 30 s and 10 min
are utterances in a row. Words are counted where a clip holds only whole utterances with a text.

    rtfx        seconds of audio transcribed in a second
    x int8      that, by faster-whisper's in int8; x float32 likewise
    first text  until the first segment's text is there (neither system gives parts of a segment), median of the clips
    encoder     Whisper's encoder on 2 s and on 30 s, as our accurate mode runs it

The last line is PASS if every bar was measured and is met, else FAIL, which is exit code 1 too.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain, cycle, zip_longest
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from process_memory import peak_megabytes
from tqdm import tqdm

from tiny_audio import atomic
from tiny_audio.audio.timebase import HOP_LENGTH, SAMPLE_RATE, samples_to_seconds, seconds_to_samples
from tiny_audio.audio.vad import find_pauses, frame_levels_db
from tiny_audio.data.manifest import Utterance, read_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import TinyAudioError
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.types import Seconds, Waveform

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples" / "manifest.jsonl"

GROUPS: dict[str, Seconds] = {"2 s": 2.0, "5 s": 5.0, "10 s": 10.0, "30 s": 30.0, "10 min": 600.0}
LONG_GROUP = "10 min"
"""One recording, heard once: it is its own average."""
_LONGEST_UTTERANCE: Seconds = 10.0
"""Clips of more than that are utterances in a row,"""
_JOINED_UTTERANCES: tuple[Seconds, Seconds] = (1.5, 15.0)
"""each at least and at most that long,"""
_GAP: Seconds = 0.3
"""with so much silence between them."""
WINDOW_SAMPLES = 30 * SAMPLE_RATE
"""What Whisper hears at once."""
_TOLERANCE = 0.25
"""A whole utterance may be longer or shorter than its group by this share."""
_MIN_PAUSE: Seconds = 0.15
_SETTLE: Seconds = 0.25
"""Threads of an OpenMP runtime spin for up to 0.2 s after their work; the next system shall not pay for that."""
_ENCODER_REPEATS = 5

ACCURATE, FAST, INT8, FLOAT32 = "accurate", "fast", "faster-whisper int8", "faster-whisper float32"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One recording to transcribe."""

    id: str
    waveform: Waveform
    text: str = ""
    """What is said; empty if it is not known."""

    @property
    def duration(self) -> Seconds:
        """Of the audio."""
        return samples_to_seconds(len(self.waveform))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a system's process needs to know."""

    model: str
    whisper: Path
    """Folder as faster-whisper wants it."""
    threads: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one system made of one clip."""

    text: str
    seconds: tuple[Seconds, ...]
    """Of each time that it was transcribed."""
    first_text_seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """One system on the clips of one length."""

    rtfx: float
    first_text_seconds: Seconds
    wer: float | None
    """None where no clip has a text."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What one system costs besides time."""

    load_seconds: Seconds
    loaded_megabytes: float
    """Peak when it was loaded, before it heard anything."""
    peak_megabytes: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A promise with a number."""

    name: str
    value: float | None
    """None if it was not measured."""
    limit: float
    side: Literal["at least", "below"]

    @property
    def is_met(self) -> bool:
        """Whether it was measured, and the number is on the right side."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.side == "at least" else self.value < self.limit

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.2f}"
        return f"{'ok    ' if self.is_met else 'MISSED'}  {self.name}: {value}, {self.side} {self.limit:g}"


# In a system's process ------------------------------------------------------------------------------------------------


class Engine(Protocol):
    """A loaded system."""

    def transcribe(self, waveform: Waveform) -> str:
        """The whole text."""

    def first_text(self, waveform: Waveform) -> str:
        """The first text that there is, without waiting for the rest."""


class TinyAudio:
    """Our model, with the voice detector and the guards that users get."""

    def __init__(self, mode: Literal["accurate", "fast"], setup: Setup) -> None:
        import torch

        from tiny_audio.inference.recognizer import Recognizer
        from tiny_audio.inference.transcriber import Transcriber

        torch.set_num_threads(setup.threads)
        self.recognizer = Recognizer.from_pretrained(setup.model, mode=mode, dtype="auto", device="cpu")
        self.transcriber = Transcriber(self.recognizer)

    def transcribe(self, waveform: Waveform) -> str:
        """See `Engine`."""
        return self.transcriber.transcribe(waveform, sample_rate=SAMPLE_RATE).text

    def first_text(self, waveform: Waveform) -> str:
        """See `Engine`."""
        segments = self.transcriber.transcribe_iter(waveform, sample_rate=SAMPLE_RATE)
        return next((segment.text for segment in segments if segment.text), "")

    def encoder_seconds(self, waveform: Waveform) -> Seconds:
        """Median time of the encoder alone, features ready."""
        import torch

        encoder = self.recognizer.encoder
        assert encoder is not None
        with torch.inference_mode():
            features, lengths_B = encoder.features([waveform])
            encoder(features, lengths_B)
            return statistics.median(timed(encoder, features, lengths_B)[1] for _ in range(_ENCODER_REPEATS))


class FasterWhisper:
    """The same Whisper in CTranslate2, as fast as it goes."""

    def __init__(self, compute_type: str, setup: Setup) -> None:
        from faster_whisper import WhisperModel

        self.model = WhisperModel(
            str(setup.whisper), device="cpu", compute_type=compute_type, cpu_threads=setup.threads
        )

    def transcribe(self, waveform: Waveform) -> str:
        """See `Engine`."""
        return " ".join(self._texts(waveform))

    def first_text(self, waveform: Waveform) -> str:
        """See `Engine`."""
        return next(self._texts(waveform), "")

    def _texts(self, waveform: Waveform) -> Iterator[str]:
        segments, _ = self.model.transcribe(
            waveform,
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            # Beyond one window it needs its own times to know where the next begins; without them it loses a third of
            # the words of a long recording.
            without_timestamps=len(waveform) <= WINDOW_SAMPLES,
            vad_filter=False,
        )
        return (text for segment in segments if (text := segment.text.strip()))


ENGINES: dict[str, Callable[[Setup], Engine]] = {
    ACCURATE: lambda setup: TinyAudio("accurate", setup),
    FAST: lambda setup: TinyAudio("fast", setup),
    INT8: lambda setup: FasterWhisper("int8", setup),
    FLOAT32: lambda setup: FasterWhisper("float32", setup),
}


def timed(call: Callable[..., Any], *args: Any) -> tuple[Any, Seconds]:
    """What a call returns, and how long it takes."""
    started = time.perf_counter()
    return call(*args), time.perf_counter() - started


def serve(connection: Connection, name: str, setup: Setup) -> None:
    """Load a system, answer (method, waveform) with (result, seconds), and at the end (None) tell what it has cost."""
    engine, load_seconds = timed(ENGINES[name], setup)
    loaded_megabytes = peak_megabytes()
    connection.send(None)
    while request := connection.recv():
        method, waveform = request
        connection.send(timed(getattr(engine, method), waveform))
    connection.send(
        Footprint(load_seconds=load_seconds, loaded_megabytes=loaded_megabytes, peak_megabytes=peak_megabytes())
    )


# In the process that asks ---------------------------------------------------------------------------------------------


class SystemProcess:
    """A system in a process of its own, which computes only while it is asked."""

    def __init__(self, name: str, setup: Setup) -> None:
        context = get_context("spawn")  # a forked process would begin with the memory of this one
        self.name = name
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, setup), daemon=True)
        self._process.start()
        theirs.close()
        self._receive()

    def ask(self, method: str, waveform: Waveform) -> tuple[Any, Seconds]:
        """What a method of the engine returns, and how long it took there."""
        time.sleep(_SETTLE)
        self._connection.send((method, waveform))
        return self._receive()

    def close(self) -> Footprint:
        """End the process; what it has cost."""
        self._connection.send(None)
        footprint: Footprint = self._receive()
        self._process.join()
        return footprint

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            raise SystemExit(f"the process of '{self.name}' has died; its error stands above") from None


Systems = Mapping[str, SystemProcess]


def write_whisper_folder(folder: Path) -> None:
    """The weights store's Whisper base with the file names that faster-whisper looks for."""
    from tiny_audio.evaluation.systems.faster_whisper import stored_files

    for name, content in stored_files("whisper-base").items():
        (folder / name).write_bytes(content)


def default_manifests() -> list[Path]:
    """Recordings that developers keep beside the repository, and without them its few examples."""
    return sorted(REPOSITORY.parent.glob("shared/data/*/dev.jsonl")) or [EXAMPLES]


def read_speech(manifests: Sequence[Path]) -> list[Utterance]:
    """Utterances of all manifests in turn, so that a row of them has several speakers."""
    rows = zip_longest(*(read_manifest(path) for path in manifests))
    return [utterance for utterance in chain.from_iterable(rows) if utterance is not None]


def build_groups(utterances: Sequence[Utterance], *, names: Sequence[str], num_clips: int) -> dict[str, list[Clip]]:
    """Clips of each length; fewer than asked where there is not enough speech.

    Raises:
        SystemExit: there is no clip of a length.
    """
    shortest, longest = _JOINED_UTTERANCES
    joinable = [utterance for utterance in utterances if shortest <= utterance.duration <= longest]
    pool = cycle(joinable)
    groups: dict[str, list[Clip]] = {}
    for name in names:
        duration = GROUPS[name]
        if duration <= _LONGEST_UTTERANCE:
            groups[name] = short_clips(utterances, duration, num_clips)
        elif joinable:
            count = 1 if name == LONG_GROUP else num_clips
            groups[name] = [join_utterances(pool, duration, id=f"{name} {number}") for number in range(count)]
        if not groups.get(name):
            raise SystemExit(f"no clip of {name} can be made of {len(utterances)} utterances; name other manifests")
    return groups


def short_clips(utterances: Sequence[Utterance], duration: Seconds, num_clips: int) -> list[Clip]:
    """Utterances of about that duration, the nearest first; the rest are beginnings of longer ones."""
    nearest = sorted(utterances, key=lambda utterance: abs(utterance.duration - duration))
    whole = [one for one in nearest if abs(one.duration - duration) <= _TOLERANCE * duration][:num_clips]
    longer = [one for one in nearest if one.duration > (1 + _TOLERANCE) * duration][: num_clips - len(whole)]
    clips = [Clip(id=one.id, waveform=load_waveform(one), text=one.text) for one in whole]
    return clips + [Clip(id=f"{one.id}, cut", waveform=cut_at_pause(load_waveform(one), duration)) for one in longer]


def cut_at_pause(waveform: Waveform, duration: Seconds) -> Waveform:
    """The beginning of a waveform, up to the middle of the pause that is nearest to `duration`, if any is near."""
    wanted = seconds_to_samples(duration)
    pauses = find_pauses(frame_levels_db(waveform), min_duration=_MIN_PAUSE)
    ends = [(start + end) * HOP_LENGTH // 2 for start, end in pauses]
    near = [end for end in ends if abs(end - wanted) <= _TOLERANCE * wanted]
    return waveform[: min(near, key=lambda end: abs(end - wanted), default=wanted)]


def join_utterances(pool: Iterator[Utterance], duration: Seconds, *, id: str) -> Clip:
    """The next utterances of the pool with short silences between them, as many as fit."""
    gap = np.zeros(seconds_to_samples(_GAP), np.float32)
    parts: list[Waveform] = []
    texts: list[str] = []
    num_samples = 0
    for utterance in pool:
        waveform = load_waveform(utterance)
        num_samples += len(waveform) + len(gap)
        if parts and num_samples > seconds_to_samples(duration):
            break
        parts += [waveform, gap]
        texts.append(utterance.text)
    return Clip(id=id, waveform=np.concatenate(parts), text=" ".join(texts) if all(texts) else "")


def warm_up(systems: Systems, groups: Mapping[str, Sequence[Clip]]) -> None:
    """First runs are slow: each system hears one clip of every length but the longest."""
    for name, clips in groups.items():
        for system in systems.values() if name != LONG_GROUP else ():
            system.ask("transcribe", clips[0].waveform)


def measure(systems: Systems, clip: Clip, repeats: int) -> dict[str, Answer]:
    """The answers of all systems to one clip; they take turns."""
    runs = [{name: system.ask("transcribe", clip.waveform) for name, system in systems.items()} for _ in range(repeats)]
    return {
        name: Answer(
            text=runs[-1][name][0],
            seconds=tuple(run[name][1] for run in runs),
            first_text_seconds=system.ask("first_text", clip.waveform)[1],
        )
        for name, system in systems.items()
    }


def measure_group(systems: Systems, group: str, clips: Sequence[Clip], repeats: int) -> dict[str, list[Answer]]:
    """The answers of each system to all clips of one length."""
    repeats = 1 if group == LONG_GROUP else repeats
    rows = [measure(systems, clip, repeats) for clip in tqdm(clips, desc=group, file=sys.stderr, disable=None)]
    return {name: [row[name] for row in rows] for name in systems}


def measure_encoder(system: SystemProcess, clip: Clip) -> dict[str, Seconds]:
    """Time of our encoder on 2 s and on 30 s."""
    sizes = {"2 s": 2.0, "30 s": 30.0}
    waveforms = {name: np.resize(clip.waveform, seconds_to_samples(duration)) for name, duration in sizes.items()}
    return {name: system.ask("encoder_seconds", waveform)[0] for name, waveform in waveforms.items()}


def score_group(clips: Sequence[Clip], answers: Sequence[Answer]) -> GroupScore:
    """Sums of one system over the clips of one length."""
    spoken = [(clip.text, answer.text) for clip, answer in zip(clips, answers, strict=True) if clip.text]
    return GroupScore(
        rtfx=sum(clip.duration for clip in clips) / sum(statistics.median(answer.seconds) for answer in answers),
        first_text_seconds=statistics.median(answer.first_text_seconds for answer in answers),
        wer=count_errors([said for said, _ in spoken], [heard for _, heard in spoken]).wer if spoken else None,
    )


Scores = Mapping[str, Mapping[str, GroupScore]]
"""Of each group and each system."""


def speed_ratio(scores: Scores, group: str, name: str, peer: str = INT8) -> float | None:
    """How many times as fast as the peer; None if the group was not measured."""
    return scores[group][name].rtfx / scores[group][peer].rtfx if group in scores else None


def check_bars(scores: Scores, footprints: Mapping[str, Footprint], encoder: Mapping[str, Seconds]) -> list[Bar]:
    """All promises, the ones that were not measured too."""
    accurate = {"2 s": 2.0, "5 s": 2.0, "30 s": 1.0, LONG_GROUP: 1.0}
    speed = [(ACCURATE, group, limit) for group, limit in accurate.items()] + [(FAST, group, 3.0) for group in GROUPS]
    bars = [
        Bar(
            name=f"{name} by {INT8}, speed on {group}",
            value=speed_ratio(scores, group, name),
            limit=limit,
            side="at least",
        )
        for name, group, limit in speed
    ]
    memory = footprints[ACCURATE].peak_megabytes / 1e3
    growth = encoder["2 s"] / encoder["30 s"]
    bars.append(Bar(name=f"peak memory of {ACCURATE}, GB", value=memory, limit=1.2, side="below"))
    bars.append(Bar(name="encoder on 2 s by encoder on 30 s, time", value=growth, limit=0.2, side="below"))
    return bars


def format_group(group: str, clips: Sequence[Clip], scores: Mapping[str, GroupScore]) -> str:
    """The table of one length."""
    lines = [
        f"{group}: {len(clips)} clips, {sum(clip.duration for clip in clips):.1f} s of audio",
        f"  {'system':<22}  {'rtfx':>7}  {'x int8':>7}  {'x float32':>9}  {'first text':>10}  {'WER':>8}",
    ]
    for name, score in scores.items():
        ratios = f"{score.rtfx / scores[INT8].rtfx:7.2f}  {score.rtfx / scores[FLOAT32].rtfx:9.2f}"
        wer = "" if score.wer is None else f"{score.wer:.2%}"
        lines.append(f"  {name:<22}  {score.rtfx:7.1f}  {ratios}  {score.first_text_seconds:8.2f} s  {wer:>8}")
    return "\n".join(lines)


def format_footprints(footprints: Mapping[str, Footprint], encoder: Mapping[str, Seconds]) -> str:
    """Memory and loading of each system; the encoder's time."""
    lines = [f"  {'system':<22}  {'load':>8}  {'memory then':>11}  {'at the peak':>11}"]
    for name, footprint in footprints.items():
        memory = f"{footprint.loaded_megabytes:8.0f} MB  {footprint.peak_megabytes:8.0f} MB"
        lines.append(f"  {name:<22}  {footprint.load_seconds:6.1f} s  {memory}")
    times = ", ".join(f"{seconds * 1e3:.1f} ms on {name}" for name, seconds in encoder.items())
    return "\n".join([*lines, f"encoder: {times}, {encoder['2 s'] / encoder['30 s']:.3f} of it"])


def to_json(clips: Sequence[Clip], answers: Mapping[str, Sequence[Answer]]) -> list[dict[str, Any]]:
    """Every clip with what each system made of it."""
    return [
        {
            "id": clip.id,
            "duration": clip.duration,
            "text": clip.text,
            "answers": {name: asdict(rows[index]) for name, rows in answers.items()},
        }
        for index, clip in enumerate(clips)
    ]


def environment() -> dict[str, Any]:
    """Machine and versions."""
    packages = ("tiny-audio", "torch", "faster-whisper", "ctranslate2", "onnxruntime")
    return {"machine": platform.machine(), "system": platform.platform(), "cores": os.cpu_count()} | {
        name: version(name) for name in packages
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything, print it, and return it."""
    names = [name for name in GROUPS if not (args.quick and name == LONG_GROUP)]
    groups = build_groups(read_speech(args.manifest or default_manifests()), names=names, num_clips=args.clips)
    scores: dict[str, dict[str, GroupScore]] = {}
    details: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_whisper_folder(Path(folder))
        setup = Setup(model=args.model, whisper=Path(folder), threads=args.threads)
        systems = {name: SystemProcess(name, setup) for name in ENGINES}
        warm_up(systems, groups)
        encoder = measure_encoder(systems[ACCURATE], groups["30 s"][0])
        for group, clips in groups.items():
            answers = measure_group(systems, group, clips, args.repeats)
            scores[group] = {name: score_group(clips, own) for name, own in answers.items()}
            details[group] = to_json(clips, answers)
            print(format_group(group, clips, scores[group]), flush=True)
        footprints = {name: system.close() for name, system in systems.items()}
    bars = check_bars(scores, footprints, encoder)
    print(format_footprints(footprints, encoder), *bars, sep="\n", flush=True)
    return {
        "environment": environment(),
        "settings": {name: getattr(args, name) for name in ("model", "threads", "clips", "repeats")},
        "scores": {group: {name: asdict(score) for name, score in own.items()} for group, own in scores.items()},
        "systems": {name: asdict(footprint) for name, footprint in footprints.items()},
        "encoder_seconds": encoder,
        "bars": [asdict(bar) | {"is_met": bar.is_met} for bar in bars],
        "passed": all(bar.is_met for bar in bars),
        "clips": details,
    }


def main() -> int:
    """Measure, print the tables, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument(
        "--manifest", type=Path, nargs="+", help="real speech; default: what lies beside the repository"
    )
    parser.add_argument("--model", default="tiny-audio-base", help="name or checkpoint folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clips", type=int, default=5, help="of each length but the longest")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each clip, of which the median counts")
    parser.add_argument("--quick", action="store_true", help="one clip, one run, no 10 min; so never PASS")
    args = parser.parse_args()
    if args.quick:
        args.clips = args.repeats = 1
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # the systems' processes inherit it
    try:
        result = run(args)
    except TinyAudioError as error:
        print(f"inference.py: error: {error}", file=sys.stderr)
        return 1
    if args.json:
        atomic.write_text(args.json, json.dumps(result, indent=1) + "\n")
    print("PASS" if result["passed"] else "FAIL")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
