"""The live panel of a run: how far, how fast, how well, and whether something is wrong.

Progress is counted in audio, which is what a run is made of: steps differ in length. On a terminal the panel is drawn
anew in place; elsewhere a line is printed now and then.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel as Frame
from rich.progress_bar import ProgressBar
from rich.text import Text

from tiny_audio.training.findings import judge_history, worst
from tiny_audio.training.history import RunHistory
from tiny_audio.training.observer import Observer, RunContext
from tiny_audio.types import Seconds

PRINT_EVERY = 20
"""Steps between two lines where there is no terminal, and between two points of the history that is judged."""
_STYLES = {"healthy": "green", "watch": "yellow", "ill": "bold red"}


class Panel(Observer):
    """Shows a run on standard error.

    Args:
        console: where; None: standard error.
        clock: seconds that only go forward.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._live: Live | None = None
        self._history = RunHistory()
        self._metrics: Mapping[str, float] = {}
        self._verdict = Text("")

    def on_start(self, context: RunContext) -> None:
        """Begin with what the run has logged before, if it continues."""
        self._context = context
        self._history = RunHistory.read(context.folder / "metrics.jsonl")
        self._step = context.first_step
        self._heard: Seconds = 0.0
        self._started = self._clock()
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2)
            self._live.start()
            _move_messages_to(sys.stderr)  # which writes above the panel now

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take over what was measured."""
        self._step, self._metrics = step, metrics
        self._heard += metrics["audio_duration"]
        if step % PRINT_EVERY == 0 or step == self._context.max_steps:
            self._history.add(step, metrics)
            self._judge()
            if self._live is None:
                self._print(
                    f"step {step} of {self._context.max_steps}", self._progress(), self._losses(), self._verdict.plain
                )

    def on_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take over the error rates."""
        self._history.add(step, metrics)
        self._judge()
        rates = ", ".join(f"{name} {value:.2%}" for name, value in metrics.items())
        self._print(f"step {step}", rates)

    def on_end(self) -> None:
        """Leave the last state on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            _move_messages_to(sys.stderr)

    def _judge(self) -> None:
        finding = worst(judge_history(self._history, peak=self._context.config.optim.learning_rate))
        text = f"{finding.name}: {finding.verdict}" if finding else "healthy"
        self._verdict = Text(text, style=_STYLES[finding.severity if finding else "healthy"])

    def _print(self, *parts: str) -> None:
        self._console.print(" | ".join(part for part in parts if part), highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> Frame:
        # A bar ends no line of its own.
        done = Padding(ProgressBar(total=self._context.max_steps, completed=self._step), 0)
        lines = [self._progress(), self._losses(), self._gradients(), self._error_rates()]
        title = f"{self._context.folder.name}: step {self._step} of {self._context.max_steps}"
        return Frame(Group(done, *(Text(line) for line in lines if line), self._verdict), title=title)

    def _progress(self) -> str:
        """Audio heard, speed and what is left; that of a continued run from its mean."""
        context = self._context
        per_step = context.epoch_duration / max(context.steps_per_epoch, 1)
        heard = context.first_step * per_step + self._heard
        total = max(context.max_steps * per_step, heard)
        done = self._step - context.first_step
        if not done:
            return f"{heard / 3600:.2f} of {total / 3600:.2f} h of audio"
        elapsed = max(self._clock() - self._started, 1e-9)
        left = elapsed / done * (context.max_steps - self._step)
        speed = self._heard / elapsed
        return f"{heard / 3600:.2f} of {total / 3600:.2f} h of audio, {speed:.3g} x real time, {format_time(left)} left"

    def _losses(self) -> str:
        metrics = self._metrics
        parts = [f"{name.replace('_', ' ')} {metrics[name]:.3f}" for name in metrics if name.endswith("loss")]
        if "learning_rate" in metrics:
            parts.append(f"learning rate {metrics['learning_rate']:.2g}")
        if metrics.get("step_time"):
            parts.append(f"data wait {metrics['wait_time'] / metrics['step_time']:.0%}")
        return ", ".join(parts)

    def _gradients(self) -> str:
        prefix = "grad_norm/"
        parts = [
            f"{name.removeprefix(prefix)} {self._metrics[name]:.2g}"
            for name in self._metrics
            if name.startswith(prefix)
        ]
        return f"gradient {', '.join(parts)}" if parts else ""

    def _error_rates(self) -> str:
        parts = []
        for name in self._history.names("wer/"):
            series = self._history.series(name)
            best_step, best = min(series, key=lambda item: item[1])
            parts.append(f"WER {name.removeprefix('wer/')} {series[-1][1]:.1%} (best {best:.1%} at step {best_step})")
        return ", ".join(parts)


def format_time(seconds: Seconds) -> str:
    """Such as `45 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _move_messages_to(stream: object) -> None:
    """Let the library's messages go there, so that they do not tear the panel."""
    for handler in logging.getLogger("tiny_audio").handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setStream(stream)
