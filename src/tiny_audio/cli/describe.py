"""`tiny-audio describe`: what can be heard in recordings beside the words, by a model that was taught to say it."""

import argparse
import sys

HELP = "say what can be heard beside the words, with a model that was taught to"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="audio files, folders or globs; - is standard input")
    parser.add_argument("--recursive", action="store_true", help="look for audio files below folders too")
    parser.add_argument("--model", default="tiny-audio-base", help="name or checkpoint folder (default: %(default)s)")
    parser.add_argument("--task", default="describe", help="another task that the model was taught")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    """Print a line for each input; exit code 1 when at least one could not be used."""
    import torch

    from tiny_audio.audio.io import load_audio
    from tiny_audio.errors import AnswerError, AudioError
    from tiny_audio.inference.jobs import find_sources
    from tiny_audio.inference.transcriber import Transcriber

    if args.threads:
        torch.set_num_threads(args.threads)
    sources = find_sources(args.inputs, recursive=args.recursive)
    transcriber = Transcriber.from_pretrained(args.model)
    is_failed = False
    for source in sources:
        try:
            (answer,) = transcriber.respond_batch([load_audio(source.audio)], args.task)
        except AnswerError as error:  # of the model, so no other file would fare better
            print(f"tiny-audio describe: error: {error}", file=sys.stderr)
            return 1
        except AudioError as error:
            print(f"tiny-audio describe: error: {error}", file=sys.stderr)
            is_failed = True
            continue
        print(f"{source.audio}\t{answer}" if len(sources) > 1 else answer)
    return 1 if is_failed else 0
