"""`tiny-audio align`: when each word of a known text is said."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiny_audio.data.manifest import Utterance
    from tiny_audio.types import Waveform

HELP = "time every word of a text that is known"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("audio", help="audio file, or a manifest .jsonl whose texts are aligned")
    parser.add_argument("text", nargs="?", help="what is said in it, or a .txt file that holds it")
    parser.add_argument(
        "--model",
        default="tiny-audio-base",
        help="shipped model, or checkpoint of align, correct or ctc (default: %(default)s)",
    )
    parser.add_argument("--format", choices=["json", "ctm", "textgrid"], default="json", help="(default: %(default)s)")
    parser.add_argument("-o", "--output-dir", type=Path, metavar="DIR", help="one file an utterance, named by its id")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Print or write the alignments; exit code 1 when one could not be made."""
    is_manifest = args.audio.endswith(".jsonl")
    if is_manifest == (args.text is not None):
        return _wrong_usage("a manifest brings its texts, leave TEXT out" if is_manifest else "TEXT is missing")
    if args.format == "textgrid" and is_manifest and args.output_dir is None:
        return _wrong_usage("--format textgrid of a manifest needs -o DIR; a TextGrid holds one recording")

    import torch

    from tiny_audio.atomic import write_text
    from tiny_audio.audio.io import load_audio
    from tiny_audio.audio.timebase import samples_to_seconds
    from tiny_audio.data.manifest import read_manifest
    from tiny_audio.errors import OutputError, TinyAudioError
    from tiny_audio.inference.alignment_formats import ALIGNMENT_FORMATS, SUFFIXES, Alignment
    from tiny_audio.inference.forced_alignment import align_text, load_ctc

    if args.threads:
        torch.set_num_threads(args.threads)
    utterances = read_manifest(args.audio) if is_manifest else []
    text = "" if is_manifest else _text(args.text)
    ctc = load_ctc(args.model)

    def recordings() -> Iterator[tuple[str, str, "Utterance | None"]]:
        if is_manifest:
            yield from ((utterance.id, utterance.text, utterance) for utterance in utterances)
        else:
            yield Path(args.audio).stem, text, None

    failed = 0
    for id, words, utterance in recordings():
        try:
            waveform = load_audio(args.audio) if utterance is None else _load(utterance)
            alignment = Alignment(
                id=id,
                duration=samples_to_seconds(len(waveform)),
                grid=ctc.frame_duration,
                words=align_text(ctc, waveform, words),
            )
        except TinyAudioError as error:
            if not is_manifest:
                raise
            failed += 1
            print(f"tiny-audio align: {id}: {error}", file=sys.stderr)
            continue
        written = ALIGNMENT_FORMATS[args.format](alignment)
        if args.output_dir is None:
            sys.stdout.write(written)
            continue
        path = args.output_dir / f"{_file_name(id)}{SUFFIXES[args.format]}"
        try:
            write_text(path, written)
        except OSError as error:
            raise OutputError(str(path), error.strerror or str(error)) from error
    return 1 if failed else 0


def _load(utterance: "Utterance") -> "Waveform":
    from tiny_audio.data.recordings import load_waveform

    return load_waveform(utterance)


def _text(given: str) -> str:
    """The text itself, or that of a file.

    Raises:
        DatasetError: the file cannot be read.
    """
    from tiny_audio.errors import DatasetError

    if not given.endswith(".txt"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read '{given}': {error}; expected a text file") from error


def _file_name(id: str) -> str:
    """An id as the name of a file, in whatever folder it may seem to be."""
    return id.replace("/", "_").replace("\\", "_")


def _wrong_usage(problem: str) -> int:
    print(f"tiny-audio align: error: {problem}", file=sys.stderr)
    return 2
