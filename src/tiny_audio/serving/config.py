"""What a server may be told."""

from dataclasses import dataclass

from tiny_audio.errors import ConfigError
from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Names, keys and limits of a server."""

    model: str = "tiny-audio-base"
    """The name under which the model is served."""
    aliases: tuple[str, ...] = ("whisper-1",)
    """Further names for it, so that a program written for another service need not be changed."""
    api_key: str | None = None
    """What a client must show; None: nothing."""
    cors_origins: tuple[str, ...] = ()
    """Pages of other sites that may call the server from a browser."""
    max_upload_mb: float = 25.0
    """MiB in one recording."""
    max_duration: Seconds = 4 * 3600.0
    """Of one recording."""
    max_requests: int = 64
    """Recordings that are received, wait or are transcribed at the same time."""
    max_streams: int = 16
    """Live sessions at the same time."""
    upload_timeout: Seconds = 120.0
    """For a request to arrive."""
    request_timeout: Seconds = 600.0
    """For a recording to be transcribed, once it is here."""
    idle_timeout: Seconds = 300.0
    """After which a live session that sends nothing is ended."""

    def __post_init__(self) -> None:
        limits = "max_upload_mb max_duration max_requests max_streams upload_timeout request_timeout idle_timeout"
        given = {name: getattr(self, name) for name in limits.split()}
        problems = [f"{name} {value}; expected more than 0" for name, value in given.items() if not value > 0]
        if problems:
            raise ConfigError(problems)

    @property
    def max_file_bytes(self) -> int:
        """Of one recording."""
        return round(self.max_upload_mb * 2**20)

    @property
    def model_names(self) -> tuple[str, ...]:
        """All names of the model."""
        return tuple(dict.fromkeys((self.model, *self.aliases)))
