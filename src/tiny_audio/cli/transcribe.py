"""`tiny-audio transcribe`: the text of recordings on standard output, or in files."""

import argparse
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiny_audio.audio.vad import VAD_KINDS, VadOptions
from tiny_audio.cli.job_report import JobReport
from tiny_audio.errors import ConfigError, OutputError, TinyAudioError
from tiny_audio.inference.writers import FORMATS, JSON_SHAPES, Style, render, timed_line, write_transcript
from tiny_audio.text.expected_words import expected_words

if TYPE_CHECKING:
    from tiny_audio.inference.jobs import Job
    from tiny_audio.inference.results import Transcript
    from tiny_audio.inference.transcriber import ModelOnDemand, SpeechModel

HELP = "turn speech in audio files into text"
MODEL_FAILED = 3
"""Exit code: the model could not be loaded, so nothing could be done."""
MODES = ("accurate", "letters", "fast", "whisper")
DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")
CHANNELS = ("mix", "left", "right")
_JOINABLE = ("txt", "json", "jsonl")  # several of them one after the other make sense


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="audio file of any usual format, folder, glob, @LIST, manifest .jsonl, or - for standard input",
    )
    parser.add_argument("--recursive", action="store_true", help="look for audio files below folders too")
    parser.add_argument("--shard", type=_shard, metavar="I/N", help="only the I-th of N parts of the inputs")
    parser.add_argument("--channel", choices=CHANNELS, default="mix", help="of stereo (default: %(default)s)")
    parser.add_argument("--stdin-format", choices=("s16le", "f32le"), help="standard input is mono without a header")
    parser.add_argument("--rate", type=_count, metavar="HZ", help="its sample rate (default: 16000)")

    output = parser.add_argument_group("output")
    output.add_argument(
        "-o", "--output-dir", type=Path, metavar="DIR", help="write files there, not to standard output"
    )
    output.add_argument(
        "-f",
        "--format",
        type=_formats,
        action="extend",
        metavar="LIST",
        help=f"of {','.join(FORMATS)} or all; repeatable (default: txt, one line a file)",
    )
    existing = output.add_mutually_exclusive_group()
    existing.add_argument("--skip-existing", action="store_true", help="leave out inputs whose files are all there")
    existing.add_argument("--overwrite", action="store_true", help="replace files that are there (default)")
    output.add_argument("--timestamps", action="store_true", help="txt: a line for each segment, with its times")
    output.add_argument("--word-timestamps", action="store_true", help="json: list the words with their times")
    output.add_argument("--plain", action="store_true", help="lower case, no punctuation")
    output.add_argument("--json-shape", choices=JSON_SHAPES, default="tiny-audio", help="default: %(default)s")
    output.add_argument("--quiet", action="store_true", help="no messages but errors and warnings")
    output.add_argument(
        "--progress", choices=("auto", "json", "none"), default="auto", help="auto: a line, on a terminal only"
    )

    bulk = parser.add_argument_group("bulk work")
    bulk.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: many processes, here or on a cluster; fills -o DIR with shards of JSON lines, and goes on from those"
        " that are there; other files only with --format",
    )
    bulk.add_argument("--workers", type=_count, metavar="N", help="of ray, at most (default: one for each CPU or GPU)")

    add_model_arguments(parser)
    parser.add_argument(
        "--batch-seconds", type=_seconds, default=30.0, metavar="S", help="audio in a batch (default: %(default)g)"
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which model listens, and how."""
    model = parser.add_argument_group("model")
    model.add_argument("--model", default="tiny-audio-base", help="name or checkpoint folder (default: %(default)s)")
    model.add_argument(
        "--mode",
        choices=MODES,
        default="accurate",
        help="letters: no language model; fast: the draft alone; whisper: plain Whisper (default: %(default)s)",
    )
    model.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    model.add_argument("--dtype", choices=DTYPES, default="auto", help="of the products (default: %(default)s)")
    model.add_argument("--language", type=_english, default="en", help="en, the only one that it knows")
    model.add_argument("--hotwords", metavar="WORDS", default="", help="likely names and terms, separated by commas")
    model.add_argument("--prompt", metavar="TEXT", default="", help="text whose longer words are hotwords too")
    model.add_argument("--threads", type=_count, default=0, metavar="N", help="CPU threads (default: all)")
    defaults = VadOptions()
    vad = parser.add_argument_group("speech and silence")
    vad.add_argument("--vad", choices=VAD_KINDS, default=defaults.kind, help="detector (default: %(default)s)")
    vad.add_argument("--no-vad", dest="vad", action="store_const", const="none", help="the same as --vad none")
    vad.add_argument("--vad-threshold", type=float, metavar="P", help=f"default: {defaults.threshold}")
    for name in ("min_silence_duration_ms", "speech_pad_ms", "min_speech_duration_ms"):
        option = f"--vad-{name.replace('_duration', '').replace('_', '-')}"
        vad.add_argument(option, type=_count, metavar="MS", help=f"default: {getattr(defaults, name)}")


def run(args: argparse.Namespace) -> int:
    """Transcribe all inputs; exit code 1 when at least one could not be used."""
    from tiny_audio.audio.io import STDIN
    from tiny_audio.inference.jobs import find_sources, make_output_folder, plan_jobs

    is_ray = args.engine == "ray"
    formats = list(dict.fromkeys(args.format or ([] if is_ray else ["txt"])))
    if args.inputs.count("-") > 1:
        return _wrong_usage("standard input (-) can be read only once")
    if args.rate is not None and not args.stdin_format:
        return _wrong_usage("--rate is for --stdin-format; files carry their own")
    if not args.output_dir and len(formats) > 1:
        return _wrong_usage(f"--format {','.join(formats)} needs -o DIR; standard output holds one format")
    if not args.output_dir and args.skip_existing:
        return _wrong_usage("--skip-existing needs -o DIR")
    if args.workers is not None and not is_ray:
        return _wrong_usage("--workers is for --engine ray; the model has --threads")
    if is_ray and not args.output_dir:
        return _wrong_usage("--engine ray needs -o DIR")
    if is_ray and args.overwrite:
        return _wrong_usage("--engine ray goes on from what is in -o DIR; name a new one to start again")
    try:
        vad = vad_options(args)
    except ConfigError as error:
        return _wrong_usage(str(error))
    sources = find_sources(args.inputs, recursive=args.recursive)
    if is_ray and any(source.audio == STDIN for source in sources):
        return _wrong_usage("--engine ray cannot read standard input (-)")
    if not args.output_dir and len(sources) > 1 and formats[0] not in _JOINABLE:
        return _wrong_usage(f"--format {formats[0]} of several files needs -o DIR")
    if args.output_dir:
        make_output_folder(args.output_dir)
    jobs = plan_jobs(sources, args.output_dir, formats)
    if args.shard:
        part, num_parts = args.shard
        jobs = jobs[part - 1 :: num_parts]  # planned before, so names are the same in every shard
    if is_ray:
        from tiny_audio.inference.ray_engine import unfinished_jobs

        todo = unfinished_jobs(jobs, args.output_dir)
    else:
        todo = [job for job in jobs if not (args.skip_existing and job.is_done)]
    report = JobReport(todo, num_skipped=len(jobs) - len(todo), progress=args.progress, quiet=args.quiet)
    try:
        return _transcribe_all(args, report, formats, vad)
    except TinyAudioError as error:  # those of single files do not come here
        if args.debug:
            traceback.print_exc()
        report.say_error(error)
        return MODEL_FAILED
    finally:
        report.summarise()


def vad_options(args: argparse.Namespace) -> VadOptions:
    """What the options of the command line say about speech and silence.

    Raises:
        ConfigError: a number is out of range.
    """
    given = {
        "threshold": args.vad_threshold,
        "min_silence_duration_ms": args.vad_min_silence_ms,
        "speech_pad_ms": args.vad_speech_pad_ms,
        "min_speech_duration_ms": args.vad_min_speech_ms,
    }
    return VadOptions(kind=args.vad, **{name: value for name, value in given.items() if value is not None})


def load_on_demand(args: argparse.Namespace, *, word_timestamps: bool = False) -> "ModelOnDemand":
    """The model that the options name, loaded when there is first something to hear."""
    from tiny_audio.inference.transcriber import ModelOnDemand, Transcriber

    def load() -> "SpeechModel":
        if args.threads:
            import torch

            torch.set_num_threads(args.threads)
        transcriber = Transcriber.from_pretrained(
            args.model, mode=args.mode, device=args.device, dtype=args.dtype, word_timestamps=word_timestamps
        )
        return transcriber.model

    return ModelOnDemand(load)


def _transcribe_all(args: argparse.Namespace, report: JobReport, formats: Sequence[str], vad: VadOptions) -> int:
    from tiny_audio.audio.io import STDIN, read_pcm
    from tiny_audio.inference.transcriber import Progress, Transcriber

    if args.engine == "ray":
        args.threads = args.threads or 1  # workers share the machine
    style = Style(
        json_shape=args.json_shape,
        word_timestamps=args.word_timestamps,
        timestamps=args.timestamps,
        plain=args.plain,
    )
    has_cues = not {"srt", "vtt"}.isdisjoint(formats)  # long ones are cut between words
    model = load_on_demand(args, word_timestamps=args.word_timestamps or has_cues)
    transcriber = Transcriber(
        model, vad=vad, max_batch_duration=args.batch_seconds, hotwords=expected_words(args.hotwords, args.prompt)
    )
    audio: list[Any] = [job.source.audio for job in report.jobs]
    if args.stdin_format and STDIN in audio:
        stream = read_pcm(sys.stdin.buffer, sample_rate=args.rate or 16_000, sample_format=args.stdin_format)
        audio[audio.index(STDIN)] = stream
    # Lines with times come one by one, text of a file at once.
    is_live = not args.output_dir and formats[0] == "txt" and args.timestamps

    def advance(progress: Progress) -> None:
        if is_live and progress.segment.text:
            report.print(timed_line(progress.segment.plain() if args.plain else progress.segment) + "\n")
        report.advance(progress)

    outcomes: Iterable[tuple[Job, Transcript | TinyAudioError]]
    if args.engine == "ray":
        from tiny_audio.inference.ray_engine import transcribe_on_ray

        outcomes = transcribe_on_ray(
            transcriber,
            report.jobs,
            args.output_dir,
            style=style,
            channel=args.channel,
            device=args.device,
            num_threads=args.threads,
            max_workers=args.workers,
        )
    else:
        heard = transcriber.transcribe_many(audio, channel=args.channel, progress=advance)
        outcomes = zip(report.jobs, heard, strict=True)
    for job, outcome in outcomes:
        if isinstance(outcome, TinyAudioError):
            report.fail(job, outcome)
            continue
        try:
            for kind, path in job.outputs.items():
                write_transcript(outcome, path, kind, style)
        except OutputError as error:
            report.fail(job, error)
            continue
        if not args.output_dir and not is_live:
            report.print(render(outcome, formats[0], style))
        report.finish(job, outcome)
    return 1 if report.counts["failed"] else 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a number of seconds above 0")
    return seconds


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*FORMATS, "all"):
            raise argparse.ArgumentTypeError(f"invalid choice: '{name}' (choose from {', '.join(FORMATS)}, all)")
    return list(FORMATS) if "all" in names else names


def _english(text: str) -> str:
    if text.lower().split("-")[0] not in ("en", "english"):
        raise argparse.ArgumentTypeError(f"found '{text}'; this model knows English (en) only")
    return "en"


def _shard(text: str) -> tuple[int, int]:
    from tiny_audio.inference.jobs import parse_shard

    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _wrong_usage(problem: str) -> int:
    print(f"tiny-audio transcribe: error: {problem}", file=sys.stderr)
    return 2
