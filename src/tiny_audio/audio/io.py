"""Read any local sound as mono 16 kHz: in blocks, so that its length costs no memory, or whole.

soundfile (libsndfile) reads wav, flac, ogg, opus and mp3; PyAV (FFmpeg) reads what it refuses: m4a, mp4, webm and other
containers. Nothing here touches the network: both decoders get an open file object, never a name.
"""

import contextlib
import io
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast, get_args

import numpy as np
import soundfile
import soxr

from tiny_audio.audio.mp3 import check_mp3_is_whole, looks_like_mp3
from tiny_audio.audio.timebase import SAMPLE_RATE, samples_to_seconds
from tiny_audio.errors import AudioDecodeError, AudioError, AudioTruncatedError
from tiny_audio.types import Seconds, Waveform

MIN_DURATION: Seconds = 0.1
"""Shorter audio holds no word, and the convolutions of the encoder need some length."""
STDIN = "-"
"""The source name that means "bytes from standard input"."""

AudioSource = str | Path | bytes | bytearray | BinaryIO | np.ndarray
AUDIO_SUFFIXES = frozenset(
    "3gp aac aif aiff amr ape au avi caf flac flv m4a m4b m4v mka mkv mov mp3 mp4 mpeg mpg mpga oga ogg opus rf64 tta "
    "ts w64 wav webm wma wv".split()
)
"""File name endings, lower case, by which a folder's recordings are found; what a named file is, its bytes say."""
Channel = Literal["mix", "left", "right"]
"""Which channel of several is heard; mix is their mean."""
CHANNELS: tuple[Channel, ...] = get_args(Channel)
PCM_TYPES: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
"""Samples without a header, as FFmpeg names them."""

_BLOCK_FRAMES = 1 << 18  # decode in blocks, so that an hour of 8 channels at 192 kHz never lies in memory whole
_INT_SCALE = {"i1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31}
_MIN_RATE, _MAX_RATE = 1000, 1_000_000  # Hz; a header with another rate is wrong, and would fill the memory
_MAX_FLOAT = 100.0  # float samples beyond this are integers in disguise, not loud audio
_PIPE_BYTES = 1 << 25  # of a pipe's bytes that are kept in memory; more go to a temporary file
_CANCELLED = 0.01  # of the channels' power is left in their mean: they are each other's negative
_AUDIBLE = 1e-6  # mean square of the channels (-60 dB), below which nothing is there to cancel
# Only formats with sound inside them. Playlists (hls, concat, dash) name other files and addresses, so they stay out.
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,"
    "tta,w64,wav,wv"
)
_MAGIC = (b"RIFF", b"OggS", b"fLaC", b"\x1aE\xdf\xa3")  # wav, ogg, flac, matroska and webm
_log = logging.getLogger(__name__)


class AudioStream:
    """Mono 16 kHz blocks of one source, decoded while they are asked for; iterate over it once.

    Attributes:
        name: for messages.
        sample_rate: of the source, in Hz.
        header_duration: what the header promises, if it says anything.
        num_samples: at 16 kHz, so far.
        warnings: what was wrong with the audio, complete after the last block.
    """

    def __init__(
        self,
        name: str,
        sample_rate: int,
        blocks: Iterator[np.ndarray],
        *,
        channel: Channel = "mix",
        header_duration: Seconds | None = None,
        findings: "_Findings | None" = None,
    ) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self.header_duration = header_duration
        self.num_samples = 0
        self._findings = findings or _Findings(strict=False)
        self.warnings = self._findings.warnings
        self._resampler = Resampler(name, sample_rate)
        self._blocks = blocks
        self._channel = channel

    @property
    def duration(self) -> Seconds:
        """Of the audio so far."""
        return samples_to_seconds(self.num_samples)

    def __iter__(self) -> Iterator[Waveform]:
        """Waveforms of any length, in [-1, 1].

        Raises:
            AudioTruncatedError: the audio ends before its own header says, and the stream is strict.
            AudioError: float samples that are integers; if the stream is strict, NaN or infinite samples.
        """
        for waveform in self._resampled():
            if len(waveform) and (peak := float(np.abs(waveform).max())) > _MAX_FLOAT:
                raise AudioError(
                    f"'{self.name}' has float samples up to {peak:.0f}; expected [-1, 1]. Are they integers? Use int16."
                )
            self.num_samples += len(waveform)
            yield np.clip(waveform, -1.0, 1.0)

    def _resampled(self) -> Iterator[Waveform]:
        for block in self._mono():
            yield self._resampler.push(block)
        yield self._resampler.flush()

    def _mono(self) -> Iterator[np.ndarray]:
        """The chosen channel, without NaN and infinities."""
        num_bad = num_frames = 0
        power = mixed_power = 0.0
        is_cancelled = False
        for block in self._blocks:
            column = {"left": 0, "right": block.shape[1] - 1}.get(self._channel, 0)
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is counted below
                is_mixed = self._channel == "mix" and block.shape[1] > 1
                mono = block.mean(axis=1, dtype=np.float32) if is_mixed else block[:, column]
            is_bad = ~np.isfinite(mono)
            if is_bad.any():
                num_bad += int(is_bad.sum())
                mono = np.where(is_bad, np.float32(0), mono)
            elif is_mixed:
                num_frames += len(block)
                power += float(np.square(block, dtype=np.float64).mean(axis=1).sum())
                mixed_power += float(np.square(mono, dtype=np.float64).sum())
                if power > _AUDIBLE * num_frames and mixed_power < _CANCELLED * power:
                    is_cancelled = True
                    mono = block[:, 0]
            yield mono
        if num_bad:
            self._findings.add(
                AudioError(f"'{self.name}' holds {num_bad} NaN or infinite samples; export it again with finite ones")
            )
        if is_cancelled:
            self._findings.warn(f"the channels of '{self.name}' cancel each other, so the left one is heard")


class _Findings:
    """What is wrong with a source: an error if we are strict, else a warning, and the rest is still heard."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self.warnings: list[str] = []

    def add(self, error: AudioError) -> None:
        if self._strict:
            raise error
        self.warn(str(error))

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        _log.warning("%s", message)


def load_audio(source: AudioSource, *, sample_rate: int | None = None) -> Waveform:
    """Decode `source` whole, mix its channels to one (mean) and resample it to 16 kHz.

    Args:
        source: a local file name, `-` (standard input), the bytes of a file, an open binary file, or an array
            `(n,)`, `(n, channels)` or `(channels, n)`; integers are scaled by their type, floats are in [-1, 1].
        sample_rate: rate of an array in Hz; files carry their own.

    Returns:
        Mono samples `(num_samples,)`, float32, clipped to [-1, 1].

    Raises:
        AudioDecodeError: the bytes are not audio.
        AudioTruncatedError: the audio ends before its own header says.
        AudioError: no such file, no samples, NaN or infinite samples, or less than 0.1 s.
    """
    with open_audio(source, sample_rate=sample_rate, strict=True) as audio:
        waveform = np.concatenate([np.zeros(0, np.float32), *audio])
    if audio.duration < MIN_DURATION:
        raise AudioError(
            f"'{audio.name}': {audio.duration:.3g} s of audio is too short to hold speech (at least {MIN_DURATION} s)"
        )
    return waveform


@contextlib.contextmanager
def open_audio(
    source: AudioSource | AudioStream, *, sample_rate: int | None = None, channel: Channel = "mix", strict: bool = False
) -> Iterator[AudioStream]:
    """Yield the source as a stream of blocks (a stream as it is); the arguments are those of `load_audio`.

    Args:
        source: what to decode.
        sample_rate: rate of an array in Hz.
        channel: which channel to hear.
        strict: damaged audio is an error. Otherwise what can be decoded of it is, with a warning.

    Raises:
        AudioDecodeError: the bytes are not audio.
        AudioError: no such file, or nothing can be decoded of it.
    """
    findings = _Findings(strict=strict)
    if isinstance(source, AudioStream):
        yield source
    elif isinstance(source, (str, Path, bytes, bytearray)) or hasattr(source, "read"):
        if sample_rate is not None:
            raise AudioError(f"sample_rate={sample_rate} is for arrays only; files carry their own rate")
        with _open(source) as (name, file), contextlib.ExitStack() as stack:
            rate, header_duration, blocks = _decode(name, file, findings, stack)
            yield AudioStream(name, rate, blocks, channel=channel, header_duration=header_duration, findings=findings)
    else:
        if sample_rate is None:
            raise AudioError("an array of samples needs its rate: load_audio(samples, sample_rate=16000)")
        samples = _as_columns(source)
        header_duration = len(samples) / max(sample_rate, 1)
        blocks = (samples[first : first + _BLOCK_FRAMES] for first in range(0, len(samples), _BLOCK_FRAMES))
        yield AudioStream(
            "the array",
            int(sample_rate),
            map(to_float, blocks),
            channel=channel,
            header_duration=header_duration,
            findings=findings,
        )


def read_pcm(file: BinaryIO, *, sample_rate: int, sample_format: str = "s16le") -> AudioStream:
    """The stream of a file or pipe of mono samples without a header; see `PCM_TYPES`."""
    blocks = (block[:, None] for block in pcm_blocks(file, sample_format))
    return AudioStream("the raw samples", sample_rate, blocks)


def pcm_blocks(file: BinaryIO, sample_format: str = "s16le") -> Iterator[np.ndarray]:
    """Float samples `(n,)` of a file or pipe without a header, as they arrive; half a sample at the end is lost."""
    dtype = PCM_TYPES[sample_format]
    read = getattr(file, "read1", file.read)  # `read` would wait until the block is full
    rest = b""
    while data := read(_BLOCK_FRAMES * dtype.itemsize):
        data = rest + data
        num_whole = len(data) // dtype.itemsize * dtype.itemsize
        rest = data[num_whole:]
        yield to_float(np.frombuffer(data[:num_whole], dtype))


class Resampler:
    """Mono blocks of any rate and size at 16 kHz; equal, to the last bit, to one call on the whole signal.

    Raises:
        AudioError: a rate that no recording has.
    """

    def __init__(self, name: str, sample_rate: int) -> None:
        if not _MIN_RATE <= sample_rate <= _MAX_RATE:
            raise AudioError(f"'{name}' has a sample rate of {sample_rate} Hz; expected {_MIN_RATE} to {_MAX_RATE}")
        self._stream = None
        if sample_rate != SAMPLE_RATE:
            self._stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def push(self, block: np.ndarray) -> Waveform:
        """What is known of the signal at 16 kHz; a few milliseconds come later."""
        return self._stream.resample_chunk(block) if self._stream else block

    def flush(self) -> Waveform:
        """The rest, at the end of the signal."""
        nothing = np.zeros(0, np.float32)
        return self._stream.resample_chunk(nothing, last=True) if self._stream else nothing


def to_float(samples: np.ndarray) -> np.ndarray:
    """Samples of any type as float32, integers scaled to [-1, 1].

    Raises:
        AudioError: no type that audio comes in.
    """
    code = samples.dtype.str[1:]
    if code in _INT_SCALE:
        return samples.astype(np.float32) / np.float32(_INT_SCALE[code])
    if code == "u1":  # 8-bit audio is unsigned, with silence at 128
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind != "f":
        raise AudioError(f"array of {samples.dtype}; expected float in [-1, 1], int16, int32 or uint8")
    return samples.astype(np.float32)


@contextlib.contextmanager
def _open(source: Any) -> Iterator[tuple[str, BinaryIO]]:
    """Yield a display name and a seekable binary file; close it only if we opened it."""
    with contextlib.ExitStack() as stack:
        name, file = _name_and_file(source, stack)
        yield name, _seekable(file, stack)


def _name_and_file(source: Any, stack: contextlib.ExitStack) -> tuple[str, BinaryIO]:
    if isinstance(source, (bytes, bytearray)):
        return "the given bytes", io.BytesIO(source)
    if isinstance(source, (str, Path)) and str(source) != STDIN:
        path = Path(source)
        try:
            if path.is_dir():
                raise AudioError(f"'{source}' is a folder, not an audio file; name the files in it")
            return str(source), stack.enter_context(path.open("rb"))
        except FileNotFoundError as error:
            raise AudioError(f"'{source}': no such file") from error
        except PermissionError as error:
            raise AudioError(f"'{source}': no permission to read it") from error
        except OSError as error:
            raise AudioError(f"'{source}': {error.strerror or error}") from error
    file: BinaryIO = sys.stdin.buffer if isinstance(source, (str, Path)) else source
    if isinstance(file, io.TextIOBase):
        raise AudioError("the file is open as text; open it with mode 'rb'")
    return "standard input" if file is sys.stdin.buffer else str(getattr(file, "name", "the given file")), file


def _seekable(file: BinaryIO, stack: contextlib.ExitStack) -> BinaryIO:
    """The file itself, or a copy of its bytes when it is a pipe: both decoders jump around in a file."""
    if file.seekable():
        return file
    copy = stack.enter_context(tempfile.SpooledTemporaryFile(_PIPE_BYTES))  # noqa: SIM115
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return cast(BinaryIO, copy)


def _as_columns(source: Any) -> np.ndarray:
    samples = np.asarray(source)
    if samples.ndim not in (1, 2):
        raise AudioError(f"array of shape {samples.shape}; expected (n,), (n, channels) or (channels, n)")
    if samples.ndim == 1:
        return samples[:, None]
    return samples.T if samples.shape[0] < samples.shape[1] else samples  # always fewer channels than samples


_Decoding = tuple[int, Seconds | None, Iterator[np.ndarray]]
"""Sample rate, duration by the header, and blocks `(n, channels)`."""


def _decode(name: str, file: BinaryIO, findings: _Findings, stack: contextlib.ExitStack) -> _Decoding:
    start = file.tell()
    head = file.read(16)
    if not head:
        raise AudioError(f"'{name}' is empty (0 bytes)")
    file.seek(start)
    if looks_like_mp3(head):
        is_whole = True
        try:
            has_length = check_mp3_is_whole(name, file)
        except AudioTruncatedError as error:
            findings.add(error)
            is_whole = False
        file.seek(start)
        # libsndfile would guess a length from the first frame, and stop there; a cut file makes its mp3 library talk.
        if not is_whole or not has_length:
            return _decode_container(name, file, head, findings, stack)
    try:
        sound = stack.enter_context(soundfile.SoundFile(file))
    except soundfile.LibsndfileError:
        file.seek(start)
        return _decode_container(name, file, head, findings, stack)
    # A header written before the recording says 0 frames, and libsndfile cannot read a flac of unknown length.
    if not 0 < sound.frames < 1 << 40:
        file.seek(start)
        return _decode_container(name, file, head, findings, stack)
    promised = _promised_frames(sound) / sound.samplerate
    return sound.samplerate, promised, _soundfile_blocks(name, sound, promised, findings)


def _soundfile_blocks(
    name: str, sound: soundfile.SoundFile, promised: Seconds, findings: _Findings
) -> Iterator[np.ndarray]:
    decoded = 0
    while True:
        try:
            block = sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            findings.add(AudioTruncatedError(name, error.error_string.removeprefix("Error : ").rstrip(".")))
            return
        decoded += len(block)
        yield block
        if len(block) < _BLOCK_FRAMES:
            break
    duration = decoded / sound.samplerate
    _check_whole(name, duration, promised, findings)
    if re.search(r"Ogg ?: Junk after the last page", sound.extra_info):  # part of a page
        findings.add(AudioTruncatedError(name, f"it ends inside a page, after {duration:.1f} s"))
    elif "Last page lacks an end-of-stream bit" in sound.extra_info:  # cut off, or a stream that just stopped
        findings.warn(f"'{name}' has no end mark; it may be cut off after {duration:.1f} s")


def _promised_frames(sound: soundfile.SoundFile) -> int:
    """Frames according to the header."""
    cut = re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", sound.extra_info)
    if cut and int(cut[1]) < 0x7FFF0000:  # programs that stream write the largest size they can, for "unknown"
        return round(sound.frames * int(cut[1]) / max(int(cut[2]), 1))
    return sound.frames


def _check_whole(name: str, decoded: Seconds, promised: Seconds, findings: _Findings, tolerance: Seconds = 0.1) -> None:
    if promised - decoded > tolerance:  # decoders differ by an encoder delay of up to 50 ms
        findings.add(AudioTruncatedError(name, f"{decoded:.1f} s of audio, but its header promises {promised:.1f} s"))


def _decode_container(
    name: str, file: BinaryIO, head: bytes, findings: _Findings, stack: contextlib.ExitStack
) -> _Decoding:
    import av

    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
    with _ffmpeg_errors(name, head):
        container = stack.enter_context(av.open(file, mode="r", options=options))
    if not container.streams.audio:
        raise AudioDecodeError(name, "it has no audio track")
    stream = container.streams.audio[0]
    promised: Seconds | None = None
    if container.format.name.startswith(("mov", "matroska")):  # FFmpeg guesses the durations of other formats
        # The duration of a container with pictures may be that of a longer video.
        promised = float((stream.duration or 0) * (stream.time_base or 0)) or None
        if not promised and container.duration and not container.streams.video:
            promised = container.duration / av.time_base
    return stream.codec_context.sample_rate, promised, _container_blocks(name, container, head, promised, findings)


@contextlib.contextmanager
def _ffmpeg_errors(name: str, head: bytes) -> Iterator[None]:
    """Say in our words what is wrong with a file that FFmpeg refuses."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        if head[4:8] == b"ftyp":
            raise AudioTruncatedError(name, "its index is missing, or was never written") from error
        if looks_like_mp3(head) or head[:4] in _MAGIC:
            raise AudioTruncatedError(name, "it begins like audio, but nothing in it can be decoded") from error
        raise AudioDecodeError(name, "no audio format recognised in it") from error


def _container_blocks(
    name: str, container: Any, head: bytes, promised: Seconds | None, findings: _Findings
) -> Iterator[np.ndarray]:
    import av

    stream = container.streams.audio[0]
    rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler(format="fltp", rate=rate)
    decoded = num_broken = 0
    ends_broken = False
    reached: Seconds = 0.0
    with _ffmpeg_errors(name, head):
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                num_broken += 1
                ends_broken = True
                continue
            ends_broken = ends_broken and not frames
            for frame in frames:
                if frame.pts is not None:  # a silent stretch may have no packets, so time counts and not samples
                    reached = max(reached, float(frame.pts * frame.time_base) + frame.samples / frame.sample_rate)
                for part in resampler.resample(frame):
                    decoded += part.samples
                    yield part.to_ndarray().T
    heard = max(decoded / rate, reached)
    tolerance = max(0.2, 0.01 * (promised or 0.0))  # rounded durations
    _check_whole(name, heard, promised or 0.0, findings, tolerance)
    if ends_broken:
        findings.add(AudioTruncatedError(name, f"its last packet is broken, after {heard:.1f} s"))
    elif num_broken:
        findings.warn(f"'{name}': skipped {num_broken} broken packets")
