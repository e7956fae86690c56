"""The answers of a system as they come, so that an evaluation that was interrupted goes on where it was.

<system>.jsonl          one utterance a line, raw texts; grows batch by batch, and is a system itself later
<system>.settings.json  what the answers depend on; other settings are refused
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tiny_audio import __version__, atomic
from tiny_audio.data.manifest import Utterance
from tiny_audio.errors import OutputError
from tiny_audio.evaluation.result_files import write_json
from tiny_audio.evaluation.results import UtteranceResult


class AnswerFile:
    """The answers of one system to one set.

    Args:
        folder: of the answers of all systems; made if it is missing.
        settings: what the answers depend on (`settings_of`).
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        name = re.sub(r"[^\w.-]+", "-", self.settings["model"].removesuffix(".jsonl")).strip("-.")
        self.path = folder / f"{name}.jsonl"
        self._settings_path = folder / f"{name}.settings.json"

    def resume(self) -> dict[str, UtteranceResult]:
        """The answers that are there already, by id; failures are left out, since they deserve another try.

        Raises:
            OutputError: the answers were given with other settings, or the folder cannot be written.
        """
        if self.path.exists():
            there = self._settings_path.exists()
            found = json.loads(self._settings_path.read_text(encoding="utf-8")) if there else {}
            if other := sorted(key for key in {*found, *self.settings} if found.get(key) != self.settings.get(key)):
                raise OutputError(
                    str(self.path),
                    f"it holds answers with other settings ({', '.join(other)}); give another --output-dir, or "
                    "--no-resume to write over them",
                )
        answers = {answer.id: answer for answer in self._read() if not answer.problem}
        self._start(answers.values())
        return answers

    def restart(self) -> dict[str, UtteranceResult]:
        """Forget what is there, and return nothing.

        Raises:
            OutputError: the folder cannot be written.
        """
        self._start([])
        return {}

    def append(self, answers: Iterable[UtteranceResult]) -> None:
        """Keep the answers of one batch."""
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(_lines(answers))

    def finish(self, ordered: Sequence[UtteranceResult]) -> None:
        """Write all answers in the order of the set."""
        atomic.write_text(self.path, _lines(ordered))

    def _start(self, answers: Iterable[UtteranceResult]) -> None:
        try:
            write_json(self._settings_path, self.settings)
            atomic.write_text(self.path, _lines(answers))
        except OSError as error:
            raise OutputError(str(self.path), error.strerror or str(error)) from error

    def _read(self) -> list[UtteranceResult]:
        """What was stored; a last line that was cut off is not an answer."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        return [UtteranceResult.from_row(json.loads(line)) for line in lines[:-1]]


def settings_of(system: str, dataset: str, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """What answers depend on, for `AnswerFile`: the system with its weights, the set, and us.

    Normaliser and scorer are not among it: stored texts are raw and can be scored again.
    """
    asked = [(one.id, one.text, one.start, one.duration) for one in utterances]
    return {
        "model": system,
        "model_files": _fingerprint(Path(system)),
        "dataset": dataset,
        "utterances": _digest(json.dumps(asked)),
        "tiny_audio": __version__,
    }


def _lines(answers: Iterable[UtteranceResult]) -> str:
    return "".join(json.dumps(answer.to_row(), ensure_ascii=False, allow_nan=False) + "\n" for answer in answers)


def _fingerprint(path: Path) -> str:
    """Changes when the files of a checkpoint do; empty for systems that are no files."""
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return _digest(json.dumps(stats)) if stats else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
