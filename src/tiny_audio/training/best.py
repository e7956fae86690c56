"""The checkpoints with the lowest validation error rates, each in a folder of its own."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tiny_audio.atomic import write_text

_SCORE = "validation.json"
"""Step and error rate of a folder; written last, so a folder without it is not whole."""


class BestCheckpoints:
    """Folders `best-1` (the best of them) to `best-k`.

    What they are is read from the folders alone, whatever a crash has left: adding a step again replaces it.
    """

    def __init__(self, run: Path, keep: int) -> None:
        self._run = run
        self._keep = keep

    def folders(self) -> list[Path]:
        """The best first."""
        return [folder for _, _, folder in sorted(self._scored())]

    def add(self, step: int, wer: float, save: Callable[[Path], None]) -> None:
        """Keep the weights of a step, which `save` writes, if they are among the best."""
        for _, found_step, folder in list(self._scored()):
            if found_step == step:
                shutil.rmtree(folder)
        better = sum((found_wer, found_step) < (wer, step) for found_wer, found_step, _ in self._scored())
        if better >= self._keep:
            return
        incoming = self._run / ".best-incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        save(incoming)
        write_text(incoming / _SCORE, json.dumps({"step": step, "wer": wer}) + "\n")
        ranked = self.folders()
        for folder in ranked[self._keep :]:
            shutil.rmtree(folder)
        # First out of each other's way, then to the final names.
        moved = [folder.rename(self._run / f".best-moving-{folder.name}") for folder in ranked[: self._keep]]
        for rank, folder in enumerate(moved, start=1):
            folder.rename(self._run / f"best-{rank}")

    def _scored(self) -> Iterator[tuple[float, int, Path]]:
        for pattern in ("best-*", ".best-*"):
            for folder in self._run.glob(pattern):
                if (folder / _SCORE).is_file():
                    score = json.loads((folder / _SCORE).read_text(encoding="utf-8"))
                    yield score["wer"], score["step"], folder
