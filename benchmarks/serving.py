"""What a server under load does: nothing lost, nothing mixed up, how fast, how much memory, and how it ends.

    python benchmarks/serving.py --requests 500 --clients 16

Clips of many lengths are cut from `examples/` and transcribed without a server first: every answer must be that text.
The ratio compares the server with itself: many clients at once, and one client after the other on a server that gives
all threads to one request (`--lanes 1 --threads N`). Both run in turns, so that a machine whose speed changes is fair
to both.
"""

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import numpy as np
import soundfile

import tiny_audio

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LENGTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)  # s


@dataclass(frozen=True)
class Clip:
    """A recording and the text that it must get."""

    data: bytes
    duration: float
    text: str


class Server:
    """A process of `tiny-audio serve` on a free port."""

    def __init__(self, words: Sequence[str]) -> None:
        command = [sys.executable, "-m", "tiny_audio", "serve", "--port", "0", "--max-requests", "1000", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        line = next(line for line in self.process.stderr if "serving" in line)
        self.client = httpx.Client(
            base_url=line.split(" on ")[1].strip(), timeout=600, limits=httpx.Limits(max_connections=100)
        )
        for _ in range(100):
            try:
                self.client.get("/models")
                return
            except httpx.TransportError:
                time.sleep(0.1)

    def ask(self, clip: Clip) -> float:
        """Seconds until the answer, which is checked."""
        started = time.perf_counter()
        answer = self.client.post("/audio/transcriptions", files={"file": ("clip.wav", clip.data)})
        answer.raise_for_status()
        text = answer.json()["text"]
        if text != clip.text:
            raise AssertionError(f"mixed up: found {text!r}, expected {clip.text!r}")
        return time.perf_counter() - started

    def ask_all(self, clips: Sequence[Clip], num_clients: int) -> tuple[list[float], float]:
        """Seconds of each answer, and of all."""
        started = time.perf_counter()
        with ThreadPoolExecutor(num_clients) as pool:
            return list(pool.map(self.ask, clips)), time.perf_counter() - started

    @property
    def memory_mb(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    @property
    def cpu_seconds(self) -> float:
        """Of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """Exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(600)


def make_clips(num_threads: int) -> list[Clip]:
    """Pieces of the examples with their texts."""
    import torch

    torch.set_num_threads(num_threads)
    asr = tiny_audio.load_model()
    clips = []
    for path in sorted(EXAMPLES.glob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        for number, length in enumerate(LENGTHS):
            first = min(round(0.4 * number * rate), max(len(samples) - round(length * rate), 0))
            piece = samples[first : first + round(length * rate)]
            buffer = io.BytesIO()
            soundfile.write(buffer, piece, rate, format="WAV", subtype="PCM_16")
            data = buffer.getvalue()
            clips.append(Clip(data, len(piece) / rate, asr.transcribe(data).text))
    return clips


def main() -> int:
    """Run all and print it; 1 if an answer was lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of one request alone")
    parser.add_argument("--mode", default="accurate")
    args = parser.parse_args()
    clips = make_clips(1)
    order = random.Random(0).choices(clips, k=args.requests)
    audio = sum(clip.duration for clip in order)
    print(f"{len(clips)} clips, {len({clip.text for clip in clips})} texts; {args.requests} requests, {audio:.0f} s")
    together = Server(["--mode", args.mode])
    alone = Server(["--mode", args.mode, "--lanes", "1", "--threads", str(args.threads)])
    memory = [together.memory_mb]
    latencies: list[float] = []
    seconds = {"together": 0.0, "alone": 0.0}
    audio_alone = 0.0
    cpu = {"together": together.cpu_seconds, "alone": alone.cpu_seconds}
    for turn in range(args.turns):
        part = order[turn :: args.turns]
        answered, spent = together.ask_all(part, args.clients)
        latencies += answered
        seconds["together"] += spent
        memory.append(together.memory_mb)
        sample = part[::5]
        seconds["alone"] += alone.ask_all(sample, 1)[1]
        audio_alone += sum(clip.duration for clip in sample)
        print(f"turn {turn + 1}: {len(part)} requests in {spent:.1f} s, memory {memory[-1]:.0f} MB", flush=True)
    cpu = {"together": together.cpu_seconds - cpu["together"], "alone": alone.cpu_seconds - cpu["alone"]}
    speed = {"together": audio / seconds["together"], "alone": audio_alone / seconds["alone"]}
    cost = {"together": cpu["together"] / audio, "alone": cpu["alone"] / audio_alone}
    print(f"all {len(latencies)} answers are those of the recording alone")
    print(f"latency p50 {np.percentile(latencies, 50):.2f} s, p95 {np.percentile(latencies, 95):.2f} s")
    print(f"memory before {memory[0]:.0f} MB, after the first turn {memory[1]:.0f} MB, at the end {memory[-1]:.0f} MB")
    print(f"CPU seconds for a second of audio: {cost['together']:.3f} together, {cost['alone']:.3f} one at a time")
    print(
        f"speed {speed['together']:.1f} x real time with {args.clients} clients, {speed['alone']:.1f} x one at a time:"
        f" ratio {speed['together'] / speed['alone']:.2f}"
    )
    with ThreadPoolExecutor(args.clients) as pool:
        inside = [pool.submit(together.ask, clip) for clip in order[: args.clients]]
        time.sleep(0.5)
        exit_code = together.stop()
        for answer in inside:
            answer.result()
    print(f"SIGTERM with {args.clients} requests inside: all answered, exit code {exit_code}")
    alone.stop()
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
