"""The `tiny-audio` command: one file a verb, imported only when that verb is asked for.

A verb module offers `HELP`, `add_arguments(parser)` and `run(args) -> exit code`. Results go to standard output,
everything else to standard error. Exit codes: 0 all good, 1 something failed, 2 wrong usage, 130 Ctrl-C.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from tiny_audio import __version__
from tiny_audio.errors import TinyAudioError

# Name, module and help line of each verb; literal, so that `--help` imports none of them.
VERBS: dict[str, tuple[str, str]] = {
    "transcribe": ("tiny_audio.cli.transcribe", "turn speech in audio files into text"),
    "listen": ("tiny_audio.cli.listen", "turn live speech into text, from a microphone or a pipe"),
    "align": ("tiny_audio.cli.align", "time every word of a text that is known"),
    "describe": ("tiny_audio.cli.describe", "say what can be heard beside the words, with a model that was taught to"),
    "serve": ("tiny_audio.cli.serve", "serve transcription with OpenAI's protocol, and live audio"),
    "demo": ("tiny_audio.cli.demo", "open a page to speak to, and look inside the model"),
    "eval": ("tiny_audio.cli.eval", "word error rate of models on a set, with intervals"),
    "leaderboard": ("tiny_audio.cli.leaderboard", "rank evaluations of many models on one page"),
    "train": ("tiny_audio.cli.train", "train a stage of a recipe, such as align or correct"),
    "adapt": ("tiny_audio.cli.adapt", "teach a model your recordings or words, and measure the gain"),
    "diagnose": ("tiny_audio.cli.diagnose", "is a run learning, and if not, why not"),
    "plan": ("tiny_audio.cli.plan", "steps, memory, time and cost of a run, from a measured probe"),
    "trace": ("tiny_audio.cli.trace", "show how a recording becomes text, stage by stage, on one page"),
    "explore": ("tiny_audio.cli.explore", "tables and pictures of what a model does, one topic at a time"),
    "samples": ("tiny_audio.cli.samples", "put the example clips, with their manifest, in a folder"),
    "ngram": ("tiny_audio.cli.ngram", "give a CTC recogniser an n-gram model of texts to decode with"),
    "export": ("tiny_audio.cli.export", "write a model for other runtimes: transformers, onnxruntime, llama.cpp"),
    "push": ("tiny_audio.cli.push", "publish a model on the hub, with a card that says how it came to be"),
    "recipes": ("tiny_audio.cli.recipes", "list the systems that can be built and trained"),
    "show params": ("tiny_audio.cli.show_params", "parameters of each component: total, trained, frozen"),
    "weights": ("tiny_audio.cli.weights", "fetch, verify and list the frozen weights"),
    "data import": ("tiny_audio.cli.data_import", "make a manifest of a corpus, whatever its format"),
    "data check": ("tiny_audio.cli.data_check", "find what is wrong in manifests and their recordings"),
    "data stats": ("tiny_audio.cli.data_stats", "hours, speakers, durations and words of manifests"),
    "data split": ("tiny_audio.cli.data_split", "train, dev and test with other speakers and other texts"),
    "data describe": ("tiny_audio.cli.data_describe", "make recordings whose description is known, for `describe`"),
    "data chunk": ("tiny_audio.cli.data_chunk", "cut long recordings into utterances, their texts with them"),
    "data synth": ("tiny_audio.cli.data_synth", "make training speech from text with synthetic voices"),
    "data texts": ("tiny_audio.cli.data_texts", "write made-up sentences: commands, numbers, names, questions"),
    "data label": ("tiny_audio.cli.data_label", "write transcripts of recordings with a teacher model"),
    "data shard": ("tiny_audio.cli.data_shard", "write a corpus as tars, for a cluster or a web server"),
    "data cache": ("tiny_audio.cli.data_cache", "store the encoder output of a manifest, for fast training"),
}
GROUPS = {"data": "make and prepare training data", "show": "look into a model"}
"""Help lines of the groups, the first words of two-word verbs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):  # consoles that cannot show a letter print a mark instead of failing
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parse(words)
    except SystemExit as stop:  # argparse has printed the help or the mistake
        return stop.code if isinstance(stop.code, int) else 2
    try:
        exit_code = args.module.run(args)
        sys.stdout.flush()
        return exit_code
    except TinyAudioError as error:
        _report(error, debug=args.debug)
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it shuts down
        return 1
    except KeyboardInterrupt:
        print("tiny-audio: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _report(error: TinyAudioError, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    print(f"tiny-audio: error: {error}", file=sys.stderr)


def _parse(words: list[str]) -> argparse.Namespace:
    verb = _verb(words)
    if verb is None:
        return _overview(words)
    module = _import_verb(verb)
    parser = argparse.ArgumentParser(prog=f"tiny-audio {verb}", description=module.HELP)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    module.add_arguments(parser)
    # Intermixed takes options between files, but in Python 3.11 it loses the files after a `--`, and it fails to print
    # the help of a positional with a default.
    is_plain = bool({"--", "-h", "--help"} & set(words))
    parse = parser.parse_args if is_plain else parser.parse_intermixed_args
    args = parse(words[len(verb.split()) :])
    args.module = module
    _show_warnings()
    return args


def _show_warnings() -> None:
    """Show the warnings of the library on standard error as it is now, in the form of our errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("tiny-audio: warning: %(message)s"))
    logging.getLogger("tiny_audio").handlers = [handler]


def _verb(words: list[str]) -> str | None:
    """The verb that the command line starts with, if it is one of ours."""
    return next((" ".join(words[:size]) for size in (2, 1) if " ".join(words[:size]) in VERBS), None)


def _import_verb(verb: str) -> ModuleType:
    return importlib.import_module(VERBS[verb][0])


def _overview(words: list[str]) -> argparse.Namespace:
    """Parse a command line without a known verb: help, version, or a mistake. Always exits."""
    group = words[0] if words and words[0] in GROUPS else ""
    prefix = f"{group} " if group else ""
    parser = argparse.ArgumentParser(
        prog=f"tiny-audio {group}".rstrip(),
        description=GROUPS.get(group, "Train, evaluate, run and understand your own small speech recogniser."),
        epilog=f"`tiny-audio {prefix}VERB --help` describes one verb.",
    )
    if not group:
        parser.add_argument("-V", "--version", action="version", version=f"tiny-audio {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    lines = {verb.removeprefix(prefix): text for verb, (_, text) in VERBS.items() if verb.startswith(prefix)}
    if not group:
        lines = {verb: text for verb, text in lines.items() if " " not in verb} | GROUPS
    for name, text in lines.items():
        verbs.add_parser(name, help=text)
    if not words[1 if group else 0 :]:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    parser.parse_args(words[1:] if group else words)
    raise AssertionError(f"{words} is a verb, but was not dispatched")
