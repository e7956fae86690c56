"""Every error that Tiny Audio raises on purpose.

A message says what was found, what was expected and the next step. `assert` marks a bug of ours;
anything a user can cause (audio, files, configs, options) is one of these classes.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any


class TinyAudioError(Exception):
    """Base of every error raised on purpose; one of a worker process arrives as it was."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is copied by making it again from its message, which is not what our classes are made from.
        return type(self).__new__, (type(self),), {"args": self.args} | self.__dict__


class AudioError(TinyAudioError, ValueError):
    """The audio cannot be used."""


class AudioDecodeError(AudioError):
    """The bytes are not audio that we can decode."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"cannot decode '{source}': {reason}. Is it an audio file?")


class AudioTruncatedError(AudioError):
    """The audio ends before its own header says, or inside a frame."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"'{source}' is cut off or damaged: {reason}. Copy or download it again.")


class AudioTooLongError(AudioError):
    """There is more audio than may be transcribed at once."""


class ConfigError(TinyAudioError, ValueError):
    """All problems of a configuration at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("invalid configuration:\n" + "\n".join(f"  - {problem}" for problem in problems))


class ManifestError(TinyAudioError, ValueError):
    """A manifest, or one line of it (counted from 1), cannot be used."""

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


class UnknownNameError(TinyAudioError, KeyError):
    """A name that is not in a table of known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        self.message = f"unknown {kind} '{name}'; known: {', '.join(names)}.{hint}"
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would print the repr
        return self.message


class AudioTokenMismatchError(TinyAudioError, ValueError):
    """Placeholders and audio tokens differ in number."""

    def __init__(self, found: list[int], expected: list[int]) -> None:
        super().__init__(f"audio placeholders per row {found}, audio tokens per row {expected}; they must be equal")


class PromptError(TinyAudioError, ValueError):
    """The text that the language model is asked with cannot be used."""


class CheckpointError(TinyAudioError, ValueError):
    """A checkpoint cannot be read, or does not fit the model."""


class TrainingError(TinyAudioError, RuntimeError):
    """Training cannot go on."""


class UnitsError(TinyAudioError, ValueError):
    """A text cannot be written in the units of a CTC."""


class NGramError(TinyAudioError, ValueError):
    """An n-gram model cannot be read, trained or used."""


class InfeasibleError(TinyAudioError, ValueError):
    """Texts with more labels than CTC can align to their audio."""

    def __init__(self, rows: Mapping[int, tuple[int, int]], total: int) -> None:
        row, (found, needed) = next(iter(rows.items()))
        super().__init__(
            f"{len(rows)} of {total} rows have fewer CTC frames than their labels need (row {row}: {found} frames,"
            f" needs {needed}); leave them out (`models.ctc.is_feasible`), or use larger units or head_upsample"
        )


class WeightsError(TinyAudioError, OSError):
    """A weights file is missing, cannot be fetched, or has the wrong bytes."""


class AnswerError(TinyAudioError, RuntimeError):
    """A system under evaluation gave no answer to an utterance."""


class ResultsError(TinyAudioError):
    """A file is not the result of an evaluation."""


class DatasetError(TinyAudioError, ValueError):
    """A corpus, or a set to evaluate on, cannot be had or not be used."""


class OutputError(TinyAudioError, OSError):
    """A result cannot be written where it was asked for."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot write '{path}': {reason}")


class ExportError(TinyAudioError, ValueError):
    """A model cannot be written in the form that was asked for."""


class PublishError(TinyAudioError, OSError):
    """A model cannot be published."""


class ClusterError(TinyAudioError, RuntimeError):
    """Ray cannot do the work, or not all of it."""


class MissingExtraError(TinyAudioError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"'{package}' is not installed; run `pip install 'tiny-audio[{extra}]'`")


class MissingVoiceError(TinyAudioError, ImportError):
    """A text-to-speech voice is not installed."""

    def __init__(self, voice: str, install: str) -> None:
        super().__init__(f"voice '{voice}' is not installed; run: {install}")


class RequestError(TinyAudioError):
    """A request that the server refuses, with the HTTP status and what OpenAI's clients look at."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after


class SynthError(TinyAudioError, RuntimeError):
    """Speech could not be made."""
