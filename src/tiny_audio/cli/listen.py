"""`tiny-audio listen`: the text of live speech, from a microphone or a pipe of raw samples."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tiny_audio.cli.transcribe import MODEL_FAILED, add_model_arguments, load_on_demand, vad_options
from tiny_audio.errors import AudioError, ConfigError, MissingExtraError, TinyAudioError
from tiny_audio.text.expected_words import expected_words

if TYPE_CHECKING:
    import numpy as np

    from tiny_audio.inference.streaming import StreamEvent

HELP = "turn live speech into text, from a microphone or a pipe"
_BLOCK_SECONDS = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", nargs="?", metavar="-", choices=("-",), help="raw mono samples on standard input; else a microphone"
    )
    parser.add_argument("--stdin-format", choices=("s16le", "f32le"), default="s16le", help="default: %(default)s")
    parser.add_argument("--rate", type=int, default=16_000, metavar="HZ", help="sample rate (default: %(default)s)")
    parser.add_argument("--microphone", metavar="NAME", help="part of its name, or its number")
    parser.add_argument("--format", choices=("txt", "jsonl"), default="txt", help="default: %(default)s")
    parser.add_argument("--no-partials", action="store_true", help="only text that stays, no first guesses")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the text of each stretch of speech as soon as it has ended; guesses on the terminal meanwhile."""
    from tiny_audio.audio.io import pcm_blocks
    from tiny_audio.inference.transcriber import Transcriber

    try:
        vad = vad_options(args)
    except ConfigError as error:
        print(f"tiny-audio listen: error: {error}", file=sys.stderr)
        return 2
    is_pipe = args.source == "-"
    blocks = pcm_blocks(sys.stdin.buffer, args.stdin_format) if is_pipe else _microphone(args.rate, args.microphone)
    show = _Screen(args.format)
    wants_partials = not args.no_partials and (args.format == "jsonl" or sys.stderr.isatty())
    try:
        # The model now: whoever speaks first should not wait.
        hotwords = expected_words(args.hotwords, args.prompt)
        transcriber = Transcriber(load_on_demand(args).model, vad=vad, hotwords=hotwords)
        with transcriber.stream(
            sample_rate=args.rate, on_event=show, partial_interval=1.0 if wants_partials else None
        ) as stream:
            try:
                for block in blocks:
                    stream.push(block)
            except KeyboardInterrupt:  # the way to end a microphone; what was begun is still written
                if is_pipe:
                    raise
    except (AudioError, MissingExtraError):
        raise
    except TinyAudioError as error:
        print(f"tiny-audio: error: {error}", file=sys.stderr)
        return MODEL_FAILED
    show.summarise()
    return 0


class _Screen:
    """Finals on standard output; guesses and latency on standard error."""

    def __init__(self, output_format: str) -> None:
        self._format = output_format
        self._latencies: list[float] = []
        self._width = 0

    def __call__(self, event: "StreamEvent") -> None:
        if event.is_final:
            self._latencies.append(event.latency)
        if self._format == "jsonl":
            print(json.dumps(_to_dict(event), ensure_ascii=False, allow_nan=False), flush=True)
        elif event.is_final:
            self._draw("")
            if event.segment.text:
                print(event.segment.text, flush=True)
        else:
            self._draw(event.segment.text[-100:])

    def summarise(self) -> None:
        """How long one had to wait for text."""
        if self._latencies:
            median = sorted(self._latencies)[len(self._latencies) // 2]
            print(
                f"{len(self._latencies)} segments; from the end of speech to its text {median:.2f} s (median), "
                f"{max(self._latencies):.2f} s (longest)",
                file=sys.stderr,
            )

    def _draw(self, guess: str) -> None:
        if self._width or guess:
            print("\r" + guess.ljust(self._width) + ("" if guess else "\r"), end="", file=sys.stderr, flush=True)
        self._width = len(guess)


def _to_dict(event: "StreamEvent") -> dict[str, Any]:
    segment = event.segment
    kind = "final" if event.is_final else "partial"
    row = {"type": kind, "id": segment.id, "start": segment.start, "end": segment.end, "text": segment.text}
    return row | {"stable_text": event.stable_text, "latency": round(event.latency, 3)}


def _microphone(sample_rate: int, device: str | None) -> "Iterator[np.ndarray]":
    """Blocks of the microphone, without end.

    Raises:
        MissingExtraError: sounddevice is not installed.
        AudioError: there is no such microphone.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtraError("sounddevice", "mic") from error
    except OSError as error:  # it is there, but the library that it calls is not
        raise AudioError(f"no microphone: {error}; give raw samples on standard input instead: listen -") from error
    number = int(device) if device and device.isdecimal() else device

    def record() -> "Iterator[np.ndarray]":
        try:
            with sounddevice.InputStream(
                samplerate=sample_rate, channels=1, dtype="float32", device=number
            ) as microphone:
                print("listening; Ctrl-C ends", file=sys.stderr)
                while True:
                    samples, _ = microphone.read(round(_BLOCK_SECONDS * sample_rate))
                    yield samples[:, 0]
        except (sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(f"no microphone: {error}; `python -m sounddevice` lists them") from error

    return record()
