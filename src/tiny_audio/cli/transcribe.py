"""`tiny-audio transcribe`: the text of audio files on standard output, or in files."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tiny_audio.errors import AudioError, OutputError
from tiny_audio.inference.writers import FORMATS, make_output_folder, plan_outputs, write_transcript

HELP = "turn speech in audio files into text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="audio file of any usual format; - is standard input")
    parser.add_argument("--model", default="tiny-audio-base", help="name or checkpoint folder (default: %(default)s)")
    parser.add_argument("--format", choices=FORMATS, default="txt", help="default: %(default)s, one line a file")
    parser.add_argument(
        "-o", "--output-dir", type=Path, metavar="DIR", help="write a file for each input there, not to standard output"
    )
    parser.add_argument("--threads", type=_count, default=0, metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--quiet", action="store_true", help="no messages but errors and warnings")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a whole number, 0 for all")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Transcribe each file; exit code 1 when at least one could not be used."""
    from tiny_audio.audio.io import load_audio
    from tiny_audio.inference.transcriber import Transcriber

    if args.files.count("-") > 1:
        return _wrong_usage("standard input (-) can be read only once")
    if args.format in ("srt", "vtt") and len(args.files) > 1 and not args.output_dir:
        return _wrong_usage(f"--format {args.format} of several files needs -o DIR")
    outputs: Sequence[Path | None] = [None] * len(args.files)
    if args.output_dir:
        make_output_folder(args.output_dir)
        outputs = plan_outputs(args.files, args.output_dir, args.format)

    transcriber = None
    num_failed = 0
    for file, output in zip(args.files, outputs, strict=True):
        try:
            waveform = load_audio(file)
            if transcriber is None:  # slow, so only once there is something to transcribe
                _set_threads(args.threads)
                transcriber = Transcriber.from_pretrained(args.model)
            started = time.perf_counter()
            transcript = transcriber.transcribe_batch([waveform])[0]
            wall = time.perf_counter() - started
            if output:
                write_transcript(transcript, output, args.format)
            else:
                print(FORMATS[args.format](transcript), end="", flush=True)
        except (AudioError, OutputError) as error:  # of this file; an error of the model ends the run
            print(f"tiny-audio: error: {error}", file=sys.stderr)
            num_failed += 1
            continue
        if not args.quiet:
            note = ", no speech" if transcript.no_speech else ""
            where = f" -> {output}" if output else ""
            print(f"{file}: {transcript.duration:.1f} s of audio in {wall:.1f} s{note}{where}", file=sys.stderr)
    if len(args.files) > 1 and not args.quiet:
        print(f"{len(args.files)} files: {len(args.files) - num_failed} done, {num_failed} failed", file=sys.stderr)
    return 1 if num_failed else 0


def _wrong_usage(problem: str) -> int:
    print(f"tiny-audio transcribe: error: {problem}", file=sys.stderr)
    return 2


def _set_threads(num_threads: int) -> None:
    if num_threads:
        import torch

        torch.set_num_threads(num_threads)
