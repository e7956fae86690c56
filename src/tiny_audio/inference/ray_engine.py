"""Bulk transcription with Ray Data, on the cores of one machine or on all machines of a cluster.

The files are dealt out in blocks. A worker is a process with a model of its own; it hears a block and sends the
transcripts back. They are written here, where the command runs, so workers need to see no more than the recordings.
Each block becomes a shard, a file of JSON lines with a transcript each. The shards also say what a second run can skip.
"""

import hashlib
import json
import logging
import os
import pickle
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tiny_audio import atomic
from tiny_audio.audio.io import Channel
from tiny_audio.errors import ClusterError, MissingExtraError, OutputError, TinyAudioError
from tiny_audio.inference.jobs import Job, find_sources
from tiny_audio.inference.results import Transcript
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.inference.writers import JSON_SHAPES, Style

Outcome = Transcript | TinyAudioError

_MAX_BLOCK_FILES = 64
_MAX_BLOCK_BYTES = 64 * 2**20  # an hour of MP3; a block is what is lost with a worker, and what the others wait for
_MIN_BLOCKS_PER_WORKER = 4  # where there are enough files, so that the last blocks end at about the same time
_MAX_RETRIES = 1  # of a block whose worker died; by itself Ray tries for ever
_SHARDS = f"shard-{12 * '[0-9a-f]'}.jsonl"

_log = logging.getLogger(__name__)


def unfinished_jobs(jobs: Sequence[Job], directory: Path) -> list[Job]:
    """The jobs that are in no shard of the folder, or whose own files are not all there.

    Raises:
        ManifestError: a shard cannot be read.
    """
    finished = _finished_names(directory)
    return [
        job for job in jobs if _name(job) not in finished or not all(path.exists() for path in job.outputs.values())
    ]


def transcribe_on_ray(
    transcriber: Transcriber,
    jobs: Sequence[Job],
    directory: Path,
    *,
    style: Style | None = None,
    channel: Channel = "mix",
    device: str = "auto",
    num_threads: int = 1,
    max_workers: int | None = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its outcome as soon as its block is done and in a shard.

    Runs on the cluster that `RAY_ADDRESS` names or that this machine belongs to; without one, Ray is started here for
    as long as it takes.

    Args:
        transcriber: every worker gets a copy, once; with a `ModelOnDemand` the model is loaded there.
        jobs: of recordings that all workers find under the same name.
        directory: of the shards.
        style: of the JSON in them.
        channel: which channel to hear.
        device: auto and cuda give every worker a GPU, auto only where there is one.
        num_threads: CPU cores that are set aside for a worker.
        max_workers: by default as many as there is room for.

    Raises:
        ClusterError: there is no room for a worker, or Ray gave up.
        MissingExtraError: Ray is not installed.
        TinyAudioError: the model cannot be loaded.
    """
    if not jobs:
        return
    finished = _finished_names(directory)
    with _connected() as ray:
        resources = {"num_cpus": num_threads, "num_gpus": int(_wants_gpu(ray, device))}
        num_workers = min(_room(ray, **resources), max_workers or len(jobs))
        blocks = _plan_blocks(jobs, num_workers)
        lost = dict(enumerate(blocks))
        said: set[str] = set()
        for number, outcomes, messages in _answers(
            ray, blocks, (transcriber, channel, Path.cwd()), num_workers, resources
        ):
            block = lost.pop(number)
            for message in messages:
                if message not in said:  # those about the installation come from every worker
                    _log.warning("%s", message)
            said.update(messages)
            try:
                _write_shard(directory, zip(block, outcomes, strict=True), finished, style or Style())
            except OutputError as error:
                outcomes = [error] * len(block)
            yield from zip(block, outcomes, strict=True)
    for block in lost.values():
        for job in block:
            yield job, ClusterError(f"'{job.source.audio}' is not done: its worker died or failed; try it again")


class _Worker:
    """Turns names of recordings into outcomes; Ray Data makes one in each of its processes."""

    def __init__(self, transcriber: Transcriber, channel: Channel, folder: Path) -> None:
        with suppress(OSError):  # so that relative names mean the same here
            os.chdir(folder)
        self._transcriber = transcriber
        self._channel = channel
        self._messages = _Messages()
        logging.getLogger("tiny_audio").addHandler(self._messages)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (data,) = batch["data"]
        outcomes: list[Any] | TinyAudioError
        try:
            outcomes = list(self._transcriber.transcribe_many(pickle.loads(data), channel=self._channel))
        except TinyAudioError as error:  # the model cannot be loaded: an answer, or Ray would try again
            outcomes = error
        return {"block": batch["block"], "data": [pickle.dumps((outcomes, self._messages.take()))]}


class _Messages(logging.Handler):
    """Keeps the warnings of a worker for the terminal of the user."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())

    def take(self) -> list[str]:
        texts, self._texts = self._texts, []
        return texts


def _answers(
    ray: Any, blocks: Sequence[Sequence[Job]], arguments: tuple[Any, ...], num_workers: int, resources: dict[str, int]
) -> Iterator[tuple[int, list[Outcome], list[str]]]:
    """Number, outcomes and warnings of each block that a worker lives to answer, in the order of their answers."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what kills its worker again and again costs its block, not the job
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Pickled, since Arrow has no strings for names that are not UTF-8.
    rows = [
        {"block": number, "data": pickle.dumps([job.source.audio for job in block])}
        for number, block in enumerate(blocks)
    ]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_task_retries is deprecated, with nothing in its place
        dataset = dataset.map_batches(
            _Worker,
            fn_constructor_args=arguments,
            batch_size=1,
            # A block waits here, not at a busy worker.
            compute=ray.data.ActorPoolStrategy(size=num_workers, max_tasks_in_flight_per_actor=1),
            max_task_retries=_MAX_RETRIES,
            **resources,
        )
    for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
        for number, data in zip(batch["block"], batch["data"], strict=True):
            outcomes, messages = pickle.loads(data)
            if isinstance(outcomes, TinyAudioError):
                raise outcomes
            yield int(number), outcomes, messages


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray itself, connected to a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # or it warns of its own way to start workers
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    was_connected = ray.is_initialized()
    try:
        if not was_connected:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        address = os.environ.get("RAY_ADDRESS", "")
        raise ClusterError(f"cannot join Ray at '{address}': {_last_line(error)}. Check RAY_ADDRESS") from error
    try:
        yield ray
    except ray.exceptions.RayError as error:
        raise ClusterError(f"Ray gave up: {_last_line(error)}") from error
    finally:
        if not was_connected:
            ray.shutdown()


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _wants_gpu(ray: Any, device: str) -> bool:
    return device.startswith("cuda") or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)


def _room(ray: Any, *, num_cpus: int, num_gpus: int) -> int:
    """How many workers there is room for: each on one machine, with cores of its own."""
    needs = {"CPU": num_cpus, "GPU": num_gpus}
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(
        min(int(machine.get(kind, 0) // count) for kind, count in needs.items() if count) for machine in machines
    )
    if not room:
        most = {kind: max(int(machine.get(kind, 0)) for machine in machines) for kind in needs}
        raise ClusterError(
            f"a worker needs {num_cpus} CPUs and {num_gpus} GPUs on one machine; none in the cluster has more than"
            f" {most['CPU']} and {most['GPU']}. Lower --threads, or use --device cpu"
        )
    return room


def _plan_blocks(jobs: Sequence[Job], num_workers: int) -> list[list[Job]]:
    """Neighbours together, as much as is good for a block: few enough files, bytes, and shares of the work."""
    max_files = min(_MAX_BLOCK_FILES, -(-len(jobs) // (_MIN_BLOCKS_PER_WORKER * num_workers)))
    blocks: list[list[Job]] = []
    num_bytes = 0
    for job in jobs:
        num_bytes += job.source.num_bytes
        if not blocks or len(blocks[-1]) == max_files or num_bytes > _MAX_BLOCK_BYTES:
            blocks.append([])
            num_bytes = job.source.num_bytes
        blocks[-1].append(job)
    return blocks


def _write_shard(directory: Path, results: Iterable[tuple[Job, Outcome]], finished: set[str], style: Style) -> None:
    """One line for each transcript that is in no shard yet.

    The name of the file is a hash of what is in it: two commands that write to one folder cannot meet.

    Raises:
        OutputError: the disk is full, or the like.
    """
    shape = JSON_SHAPES[style.json_shape]
    rows = [
        {"audio": _name(job)} | shape(outcome, style)
        for job, outcome in results
        if isinstance(outcome, Transcript) and _name(job) not in finished
    ]
    if not rows:
        return
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)  # ASCII, for names that are not UTF-8
    path = directory / f"shard-{hashlib.sha256(text.encode()).hexdigest()[:12]}.jsonl"
    try:
        atomic.write_text(path, text)
    except OSError as error:
        raise OutputError(str(path), error.strerror or str(error)) from error


def _finished_names(directory: Path) -> set[str]:
    """The recordings in the shards of the folder, which can be read as manifests."""
    shards = [str(path) for path in sorted(directory.glob(_SHARDS))]
    return {source.audio for source in find_sources(shards)}


def _name(job: Job) -> str:
    """Of the recording, as it stands in shards: it holds from any folder."""
    return str(Path(job.source.audio).absolute())
