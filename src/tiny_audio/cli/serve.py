"""`tiny-audio serve`: transcription over HTTP and WebSockets, with OpenAI's protocol."""

import argparse
import ctypes
import ipaddress
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_audio.cli.transcribe import MODEL_FAILED, add_model_arguments, vad_options
from tiny_audio.errors import ConfigError, MissingExtraError, TinyAudioError
from tiny_audio.text.expected_words import expected_words

if TYPE_CHECKING:
    from tiny_audio.serving.engine import Engine
    from tiny_audio.serving.metrics import Metrics

HELP = "serve transcription with OpenAI's protocol, and live audio"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0: any that is free")
    parser.add_argument("--api-key", metavar="KEY", help="that clients must show (default: $TINY_AUDIO_API_KEY)")
    parser.add_argument(
        "--alias",
        action="append",
        metavar="NAME",
        help="further name of the model in requests, repeatable (default: whisper-1)",
    )
    parser.add_argument(
        "--cors-origin", action="append", default=[], metavar="URL", help="site whose pages may call; repeatable"
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-upload-mb", type=float, default=25.0, metavar="MB", help="default: %(default)g")
    limits.add_argument("--max-duration", type=float, default=14_400.0, metavar="S", help="default: %(default)g")
    limits.add_argument("--max-requests", type=int, default=64, metavar="N", help="at a time (default: %(default)s)")
    limits.add_argument("--max-streams", type=int, default=16, metavar="N", help="live (default: %(default)s)")
    limits.add_argument("--request-timeout", type=float, default=600.0, metavar="S", help="default: %(default)g")
    parser.add_argument(
        "--lanes",
        type=int,
        default=0,
        metavar="N",
        help="batches at a time, each with --threads CPU threads (default: as many as there are CPUs, with 1 each)",
    )
    parser.add_argument(
        "--batch-seconds", type=float, default=30.0, metavar="S", help="audio in a batch (default: %(default)g)"
    )
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; exit code 0 after SIGTERM, when everything that was accepted is finished."""
    try:
        from tiny_audio.serving.app import Service
        from tiny_audio.serving.config import ServerConfig
        from tiny_audio.serving.http_server import HttpServer, bind
        from tiny_audio.serving.metrics import Metrics
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve") from error
    try:
        config = ServerConfig(
            model=Path(args.model).name,  # the path of a folder is nobody's business
            aliases=tuple(args.alias or ("whisper-1",)),
            api_key=args.api_key or os.environ.get("TINY_AUDIO_API_KEY") or None,
            cors_origins=tuple(args.cors_origin),
            max_upload_mb=args.max_upload_mb,
            max_duration=args.max_duration,
            max_requests=args.max_requests,
            max_streams=args.max_streams,
            request_timeout=args.request_timeout,
        )
        vad_options(args)
        listening = bind(args.host, args.port)
    except ConfigError as error:
        print(f"tiny-audio serve: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if config.api_key is None and not _is_loopback(listening.getsockname()[0]):
        _say("warning: everybody who can reach this address can use the server; set a key with --api-key")
    metrics = Metrics()
    try:
        engine = _load_engine(args, metrics)
    except TinyAudioError as error:
        _say(f"error: {error}")
        return MODEL_FAILED
    server = HttpServer(Service(engine, config, metrics))
    # Both before it is said: who reads that and connects, or ends it, at once waits a moment, and is served.
    listening.listen(_BACKLOG)
    with server.capture_signals():
        host, port = listening.getsockname()[:2]
        _say(f"serving {', '.join(config.model_names)} on http://{f'[{host}]' if ':' in host else host}:{port}/v1")
        server.run(sockets=[listening])
    return 128 + signal.SIGINT if server.was_interrupted else 0


_BACKLOG = 2048
"""Connections that may wait to be accepted; uvicorn's."""
_MAX_ARENAS, _MAX_PRIMITIVES = 2, 64


def _bound_memory() -> None:
    """Keep a long-lived process from growing; to be called before PyTorch is imported.

    oneDNN keeps a compiled product for every number of rows that it has seen (1024 of them), and the C library (glibc)
    an arena for every thread: together 0.2 GB within 150 requests.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_MAX_PRIMITIVES))
    with suppress(OSError, AttributeError):
        m_arena_max = -8
        ctypes.CDLL("libc.so.6").mallopt(m_arena_max, _MAX_ARENAS)


def _load_engine(args: argparse.Namespace, metrics: "Metrics") -> "Engine":
    _bound_memory()
    import numpy as np
    import torch

    from tiny_audio.inference.transcriber import Transcriber
    from tiny_audio.serving.engine import Engine

    on_gpu = args.device.startswith("cuda") or (args.device == "auto" and torch.cuda.is_available())
    num_lanes = args.lanes or (1 if on_gpu else len(os.sched_getaffinity(0)))
    # A lane has one thread: two that wait for each other lose most of their time as soon as something else runs.
    num_threads = args.threads or 1
    torch.set_num_threads(num_threads)
    transcriber = Transcriber.from_pretrained(
        args.model,
        mode=args.mode,
        device=args.device,
        dtype=args.dtype,
        word_timestamps=True,
        vad=vad_options(args),
        hotwords=expected_words(args.hotwords, args.prompt),
    )
    transcriber.model.transcribe_waveforms([np.zeros(16_000, np.float32)])  # the first time takes longer
    return Engine(
        transcriber,
        num_lanes=num_lanes,
        max_batch_duration=args.batch_seconds,
        max_duration=args.max_duration,
        prepare_lane=lambda: torch.set_num_threads(num_threads),
        on_batch=metrics.count_batch,
    )


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _say(message: str) -> None:
    print(f"tiny-audio: {message}", file=sys.stderr, flush=True)
