"""`tiny-audio demo`: a page to speak to, in the browser."""

import argparse
import ipaddress
import secrets
import signal
import sys
from typing import TYPE_CHECKING

from tiny_audio.cli.transcribe import MODEL_FAILED, add_model_arguments, vad_options
from tiny_audio.errors import ConfigError, MissingExtraError, TinyAudioError
from tiny_audio.text.expected_words import expected_words

if TYPE_CHECKING:
    from tiny_audio.demo.model import DemoModel

HELP = "open a page to speak to, and look inside the model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; browsers give the microphone to localhost and https only (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s; 0: any that is free")
    parser.add_argument("--share", action="store_true", help="give the page a public address for a week, by Gradio")
    parser.add_argument("--max-upload-mb", type=float, default=100.0, metavar="MB", help="default: %(default)g")
    parser.add_argument("--max-duration", type=float, default=14_400.0, metavar="S", help="default: %(default)g")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until a signal; exit code 0 after SIGTERM."""
    try:
        from tiny_audio.demo.app import DemoServer, demo_app
        from tiny_audio.serving.http_server import bind
    except ImportError as error:
        raise MissingExtraError(error.name or "gradio", "demo") from error
    try:
        vad_options(args)
        if not args.max_upload_mb > 0 or not args.max_duration > 0:
            raise ConfigError([f"limits {args.max_upload_mb:g} MB and {args.max_duration:g} s; expected more than 0"])
        listening = bind(args.host, args.port)
    except ConfigError as error:
        print(f"tiny-audio demo: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    host, port = listening.getsockname()[:2]
    if args.share or not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        _say("warning: everybody who can reach this address can use the page")
    try:
        model = _load(args)
    except TinyAudioError as error:
        _say(f"error: {error}")
        return MODEL_FAILED
    with demo_app(model, max_upload_mb=args.max_upload_mb) as app:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # raised again behind the server: the folder must go
        if args.share:
            _say(f"shared at {_share(port)}")
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        DemoServer(app, on_open=lambda: _say(f"open {address}")).run(sockets=[listening])
    return 0


def _load(args: argparse.Namespace) -> "DemoModel":
    import torch

    from tiny_audio.demo.model import DemoModel
    from tiny_audio.inference.transcriber import Transcriber
    from tiny_audio.serving.engine import Engine

    transcriber = Transcriber.from_pretrained(
        args.model,
        mode=args.mode,
        device=args.device,
        dtype=args.dtype,
        word_timestamps=True,
        vad=vad_options(args),
        hotwords=expected_words(args.hotwords, args.prompt),
    )
    num_threads = args.threads or torch.get_num_threads()
    engine = Engine(
        transcriber, max_duration=args.max_duration, prepare_lane=lambda: torch.set_num_threads(num_threads)
    )
    return DemoModel(args.model, engine)


def _share(port: int) -> str:
    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # of many kinds: no network, no tunnel program, no such system
        raise ConfigError([f"the page cannot be shared: {error}; leave out --share"]) from error


def _say(message: str) -> None:
    print(f"tiny-audio: {message}", file=sys.stderr, flush=True)
