"""The README.md of a published model. Every number comes from a file; what no file says is called unknown."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tiny_audio.evaluation.leaderboard_page import Entry
from tiny_audio.publishing.results import mode_of
from tiny_audio.publishing.training_run import TrainingRun, short_name
from tiny_audio.training.history import Series

_UNKNOWN = "unknown"
_ORIGINS = {
    "whisper-base": ("openai/whisper-base", "MIT"),
    "smollm2-135m-instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0"),
}
"""Hub id and licence of the frozen weights that we fetch ourselves."""
_MAX_CURVE_ROWS = 12


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All that a card is written from."""

    repo: str
    parts: dict[str, dict[str, Any]]
    """Sections `encoder` and `llm` of the configuration; empty for a CTC model of its own."""
    kind: str
    """Of the model, in a few words."""
    num_parameters: int
    """In `model.safetensors`."""
    dtype: str
    """Of most of them."""
    licence: str
    """Of the trained part; empty if nobody said."""
    packages: tuple[str, ...]
    """What transformers needs to load it; empty without code."""
    run: TrainingRun | None
    results: Sequence[Entry]


def write_card(facts: CardFacts) -> str:
    """Markdown with the metadata that the hub reads; the same for the same facts."""
    sections = [
        _metadata(facts),
        f"# {facts.repo.partition('/')[2]}\n\nSpeech to text, made with Tiny Audio: "
        f"{facts.kind}. `model.safetensors` holds {facts.num_parameters / 1e6:.2f} M parameters in {facts.dtype}.",
        _usage(facts),
        "## Word error rate\n\n" + _results(facts.results),
        "## Training\n\n"
        + (_training(facts.run) if facts.run else "How it was trained is unknown: no run came with it."),
        "## Weights and licences\n\n" + _licences(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _metadata(facts: CardFacts) -> str:
    values: dict[str, Any] = {"library_name": "tiny-audio", "pipeline_tag": "automatic-speech-recognition"}
    languages = sorted({language for source in _sources(facts.run) for language in source.languages})
    if facts.licence:
        values["license"] = facts.licence
    if languages:
        values["language"] = languages
    if bases := [origin for part in facts.parts.values() if (origin := _origin(part)[0])]:
        values["base_model"] = bases
    values |= {"metrics": ["wer"], "tags": ["tiny-audio", "speech-recognition"]}
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in values.items()), "---"])


def _usage(facts: CardFacts) -> str:
    text = f"""## Use

With Tiny Audio installed:

```bash
tiny-audio transcribe --model {facts.repo} AUDIO
```

No code of this repository is run there, and every file is verified."""
    if not facts.packages:
        return text
    return f"""{text} `transformers` loads it too, with the Python files beside this card, which
are copies of modules of Tiny Audio, and `pip install {" ".join(facts.packages)}`:

```python
from transformers import pipeline

asr = pipeline("automatic-speech-recognition", "{facts.repo}", trust_remote_code=True)
print(asr("AUDIO", return_timestamps="word"))
```"""


def _results(results: Sequence[Entry]) -> str:
    if not results:
        return "Unknown: no evaluation came with it. `tiny-audio eval` measures it."
    rows = [
        (
            entry.dataset,
            mode_of(entry) or "default",
            f"{entry.num_utterances:,}",
            _UNKNOWN if entry.audio_seconds is None else f"{entry.audio_seconds / 3600:.2f}",
            f"**{100 * entry.wer:.2f} %**",
            f"{100 * entry.low:.1f} – {100 * entry.high:.1f} %",
            str(entry.num_failed),
            f"{entry.rtfx:.1f}",
            entry.rule,
        )
        for entry in results
    ]
    titles = ("Set", "Mode", "Utterances", "Hours", "WER", "95 % interval", "No answer", "rtfx", "Counted with")
    table = _table(titles, rows)
    return f"{table}\n\nMeasured with `tiny-audio eval`; rtfx is seconds of audio per second of work."


def _training(run: TrainingRun) -> str:
    environment = run.environment
    hardware = [
        f"{environment[key]}{unit}"
        for key, unit in (("device", ""), ("machine", ""), ("threads", " threads"))
        if environment.get(key)
    ]
    facts = {
        "Hardware": ", ".join(hardware),
        "Commit": environment.get("commit"),
        "Versions": ", ".join(
            f"{name} {environment[key]}"
            for key, name in (("tiny_audio", "Tiny Audio"), ("torch", "torch"), ("python", "Python"))
            if environment.get(key)
        ),
        "Started from": run.config.get("init") and short_name(run.config["init"]),
    }
    lines = [f"- {name}: {value or _UNKNOWN}" for name, value in facts.items() if value or name != "Started from"]
    parts = [
        _data(run),
        "\n".join(lines),
        f"The command, rebuilt from the run's configuration:\n\n```bash\n{run.command}\n```",
    ]
    if run.config.get("init"):
        parts.append("What the model that it started from was trained on is unknown here.")
    return "\n\n".join([*parts, _curves(run)])


def _data(run: TrainingRun) -> str:
    rows = [
        (
            source.name,
            *(
                (_UNKNOWN, _UNKNOWN, _UNKNOWN)
                if source.hours is None
                else (f"{source.hours:.2f}", f"{source.num_utterances:,}", str(source.num_speakers or _UNKNOWN))
            ),
            ", ".join(source.licences) or _UNKNOWN,
        )
        for source in run.sources
    ]
    return _table(("Trained on", "Hours", "Utterances", "Speakers", "Licence"), rows)


def _curves(run: TrainingRun) -> str:
    """Loss and validation error rates over the steps."""
    history = run.history
    columns = {name.removeprefix("wer/"): history.series(name) for name in history.names("wer/")}
    loss = history.series("loss")
    steps = sorted({step for series in columns.values() for step, _ in series}) or [step for step, _ in loss]
    if not steps:
        return "Curves: unknown, the run logged nothing."
    rows = [
        (
            str(step),
            _last(loss, step, "{:.3f}"),
            *(_last(series, step, "{:.1%}") for series in columns.values()),
        )
        for step in _evenly(steps, _MAX_CURVE_ROWS)
    ]
    table = _table(("Step", "Loss", *(f"WER, {name}" for name in columns)), rows)
    return f"{table}\n\nAll that was logged is in `training/metrics.jsonl`."


def _last(series: Series, step: int, style: str) -> str:
    """The newest value up to a step."""
    values = [value for at, value in series if at <= step]
    return style.format(values[-1]) if values else ""


def _evenly(steps: Sequence[int], limit: int) -> list[int]:
    """At most so many of them, with the first and the last."""
    if len(steps) <= limit:
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (limit - 1))] for index in range(limit)]


def _licences(facts: CardFacts) -> str:
    rows = [("what was trained, in `model.safetensors`", "this repository", facts.licence or _UNKNOWN)]
    for name, part in facts.parts.items():
        origin, licence = _origin(part)
        if part.get("source") is not None:
            label = {"encoder": "audio encoder", "llm": "language model"}[name]
            rows.append((f"{label}, frozen weights", origin or short_name(part["source"]), licence or _UNKNOWN))
    return _table(("What", "From", "Licence"), rows)


def _origin(part: dict[str, Any]) -> tuple[str, str]:
    """Hub id and licence of frozen weights; empty where they are unknown."""
    source = part.get("source") or ""
    is_hub_id = part.get("revision") or (source.count("/") == 1 and not source.startswith((".", "/")))
    return _ORIGINS.get(source, (source if is_hub_id else "", ""))


def _sources(run: TrainingRun | None) -> Iterable[Any]:
    return run.sources if run else ()


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in line)} |" for line in lines)
