"""Other runtimes for the same weights, beside our 8-bit products, on one thread.

    .venv/bin/tiny-audio export tiny-audio-base --format onnx -o runs/onnx
    .venv/bin/tiny-audio export tiny-audio-base --format onnx --quantize -o runs/onnx8
    .venv/bin/tiny-audio export tiny-audio-base --format gguf --llm-only --quantize -o runs/gguf
    .venv/bin/python benchmarks/backends.py --onnx runs/onnx runs/onnx8 --gguf runs/gguf/model.gguf

Three jobs. encode: Whisper's encoder on a clip of 2 to 30 s. hear: log-mel,
encoder, projector and CTC posteriors. write: the language model reads a prompt of 60 rows, then checks a draft of 12.
Runtimes take turns, and the median of many rounds of processor time counts, so that another program's work on this
machine falls on all alike. Printed are ratios: how many times as fast as our int8. A runtime that is not installed, or
whose file is not given, is named and left out.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.evaluation.systems.faster_whisper import stored_files
from tiny_audio.inference.recognizer import DType, Recognizer
from tiny_audio.models.encoders.encoder import EncoderOutput
from tiny_audio.models.llama_runner import NewRows
from tiny_audio.models.posteriors import frame_posteriors
from tiny_audio.types import Waveform

DURATIONS = (2, 5, 10, 30)
_LONGEST_HEARD = 10
"""Of these: OpenVINO compiles the graph for 30 s in two minutes and many gigabytes."""
PROMPT_ROWS, DRAFT_ROWS = 60, 12
REFERENCE = "ours int8"

Job = Callable[[], object]


def main() -> None:
    """Print a table for each job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", type=Path, nargs="*", default=[], metavar="DIR", help="exported folders")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="the exported language model")
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    torch.set_num_threads(1)
    dtypes: tuple[DType, ...] = ("int8", "bfloat16", "float32")
    ours = {f"ours {dtype}": Recognizer.from_pretrained(dtype=dtype, device="cpu") for dtype in dtypes}
    rng = np.random.default_rng(0)
    clips = {f"{seconds} s": _noise(rng, seconds) for seconds in DURATIONS}

    encoders = {name: lambda clip, one=one: _encode(one, clip) for name, one in ours.items() if name != "ours bfloat16"}
    for kind in ("int8", "float32"):
        _add(encoders, f"CTranslate2 {kind}", lambda kind=kind: _ctranslate2(kind))
    _table("encode", {label: _jobs(encoders, clip) for label, clip in clips.items()}, args.rounds)

    listeners = {name: lambda clip, one=one: _hear(one, clip) for name, one in ours.items() if name != "ours bfloat16"}
    for folder in args.onnx:
        for path in sorted(folder.glob("model*.onnx")):
            _add(listeners, f"onnxruntime {path.stem}", lambda path=path: _onnxruntime(path))
            _add(listeners, f"OpenVINO {path.stem}", lambda path=path: _openvino(path))
    short = {label: clip for label, clip in clips.items() if len(clip) <= _LONGEST_HEARD * SAMPLE_RATE}
    _table("hear", {label: _jobs(listeners, clip) for label, clip in short.items()}, args.rounds)

    writers = {name: _writer(one) for name, one in ours.items()}
    if args.gguf:
        _add(writers, f"llama.cpp {args.gguf.stem}", lambda: _llama_cpp(args.gguf))
    rows = {f"{PROMPT_ROWS} rows": 0, f"{DRAFT_ROWS} rows behind them": 1}
    jobs = {label: {name: jobs[index] for name, jobs in writers.items()} for label, index in rows.items()}
    _table("write", jobs, args.rounds)


def _noise(rng: np.random.Generator, seconds: float) -> Waveform:
    return rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def _add(runtimes: dict[str, Any], name: str, load: Callable[[], Any]) -> None:
    """One more runtime, where it is installed and can run the model."""
    try:
        runtimes[name] = load()
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"left out: {name}: {' '.join(str(error).split())[:200]}")


def _jobs(runtimes: dict[str, Callable[[Waveform], object]], clip: Waveform) -> dict[str, Job]:
    return {name: lambda run=run: run(clip) for name, run in runtimes.items()}


def _table(title: str, columns: dict[str, dict[str, Job]], num_rounds: int) -> None:
    seconds = {label: _measure(jobs, num_rounds) for label, jobs in columns.items()}
    print(f"\n| {title} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name in next(iter(columns.values())):
        cells = (f"{times[REFERENCE] / times[name]:.2f}" for times in seconds.values())
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def _measure(jobs: dict[str, Job], num_rounds: int) -> dict[str, float]:
    """Median processor time of each, one round after the other."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(num_rounds):
        for name, job in jobs.items():
            started = time.process_time()
            job()
            times[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def _encode(recognizer: Recognizer, clip: Waveform) -> EncoderOutput:
    assert recognizer.encoder is not None
    return recognizer.encoder(*recognizer.encoder.features([clip]))


def _hear(recognizer: Recognizer, clip: Waveform) -> object:
    """Without the beam search, which no other runtime has."""
    output = _encode(recognizer, clip)
    hidden_BAE, blank_BA, _ = recognizer.projector(output.last_hidden_state, output.lengths)
    return frame_posteriors(hidden_BAE[0], blank_BA[0], recognizer.ctc_table_VE, head=recognizer._head)


def _writer(recognizer: Recognizer) -> tuple[Job, Job]:
    """Read the prompt; check a draft behind it."""
    runner = recognizer.runner
    assert runner is not None
    embeds_NE = runner.table_VE[torch.arange(1000, 1000 + PROMPT_ROWS + DRAFT_ROWS)]
    prompt_NE, draft_NE = embeds_NE.split([PROMPT_ROWS, DRAFT_ROWS])
    read = runner.new_cache(PROMPT_ROWS + DRAFT_ROWS)
    runner.forward([NewRows(cache=read, embeds_NE=prompt_NE, positions_N=torch.arange(PROMPT_ROWS))])

    def prompt() -> object:
        rows = NewRows(cache=runner.new_cache(PROMPT_ROWS), embeds_NE=prompt_NE, positions_N=torch.arange(PROMPT_ROWS))
        return runner.head(runner.forward([rows])[0][-1:])

    def draft() -> object:
        read.length = PROMPT_ROWS
        positions_N = torch.arange(PROMPT_ROWS, PROMPT_ROWS + DRAFT_ROWS)
        (hidden_NE,) = runner.forward([NewRows(cache=read, embeds_NE=draft_NE, positions_N=positions_N)])
        return runner.head(hidden_NE)

    return prompt, draft


def _ctranslate2(kind: str) -> Callable[[Waveform], object]:
    import ctranslate2

    from tiny_audio.audio.features import log_mel_spectrogram

    files: Any = stored_files("whisper-base")
    model = ctranslate2.models.Whisper("whisper-base", device="cpu", compute_type=kind, intra_threads=1, files=files)

    def run(clip: Waveform) -> object:
        mel_MF = log_mel_spectrogram(clip, n_mels=80).numpy()
        return np.array(model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel_MF[None]))))

    return run


def _onnxruntime(path: Path) -> Callable[[Waveform], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda clip: session.run(None, {name: clip})


def _openvino(path: Path) -> Callable[[Waveform], object]:
    """Compiled for each length: of a graph that takes any, it does not find the shapes."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}

    @lru_cache(maxsize=1)  # one length of clips is measured after the other
    def compiled(num_samples: int) -> Callable[..., object]:
        model = openvino.convert_model(path, input=("waveform", [num_samples]))
        return openvino.Core().compile_model(model, "CPU", settings)  # type: ignore[no-any-return]

    compiled(SAMPLE_RATE)
    return lambda clip: compiled(len(clip))(clip)


def _llama_cpp(path: Path) -> tuple[Job, Job]:
    """Its server in this process; the one token that it writes comes from the last row, the only one with logits."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.warmup = 512, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    prompt = list(range(1000, 1000 + PROMPT_ROWS))
    first_tokens = itertools.count(2000, DRAFT_ROWS)  # a draft that it has read before would cost nothing

    def ask(tokens: list[int], *, num_new: int) -> object:
        answer = server.handle_completions(
            {"prompt": tokens, "n_predict": 1, "cache_prompt": num_new < len(tokens), "temperature": 0.0}
        )
        found = answer["timings"]["prompt_n"]
        assert found == num_new, f"llama.cpp read {found} rows, expected {num_new}"
        return answer

    def draft() -> object:
        first = next(first_tokens)
        return ask([*prompt, *range(first, first + DRAFT_ROWS)], num_new=DRAFT_ROWS)

    ask(prompt, num_new=PROMPT_ROWS)
    return lambda: ask(prompt, num_new=PROMPT_ROWS), draft


if __name__ == "__main__":
    main()
