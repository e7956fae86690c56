"""Read any local sound into a mono 16 kHz waveform.

soundfile (libsndfile) reads wav, flac, ogg, opus and mp3; PyAV (FFmpeg) reads what it refuses: m4a, mp4, webm and other
containers. Nothing here touches the network: both decoders get an open file object, never a name.
"""

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

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

_BLOCK_FRAMES = 1 << 18  # decode in blocks, so that an hour of 8 channels at 192 kHz never lies in memory whole
_INT_SCALE = {"i1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31}
_MIN_RATE, _MAX_RATE = 1000, 1_000_000  # Hz; a header with another rate is wrong, and would fill the memory
_MAX_FLOAT = 100.0  # float samples beyond this are integers in disguise, not loud audio
# Only formats with sound inside them. Playlists (hls, concat, dash) name other files and addresses, so they stay out.
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,"
    "tta,w64,wav,wv"
)
_MAGIC = (b"RIFF", b"OggS", b"fLaC", b"\x1aE\xdf\xa3")  # wav, ogg, flac, matroska and webm
_log = logging.getLogger(__name__)


def load_audio(source: AudioSource, *, sample_rate: int | None = None) -> Waveform:
    """Decode `source`, mix its channels to one (mean) and resample it to 16 kHz.

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
    if not isinstance(source, (str, Path, bytes, bytearray)) and not hasattr(source, "read"):
        name = "the array"
        rate, blocks = _array_blocks(source, sample_rate)
        waveform = _resample(name, rate, blocks)
    else:
        if sample_rate is not None:
            raise AudioError(f"sample_rate={sample_rate} is for arrays only; files carry their own rate")
        with _open(source) as (name, file):
            waveform = _decode(name, file)
    duration = samples_to_seconds(len(waveform))
    if duration < MIN_DURATION:
        raise AudioError(f"'{name}': {duration:.3g} s of audio is too short to hold speech (at least {MIN_DURATION} s)")
    return waveform


@contextlib.contextmanager
def _open(source: Any) -> Iterator[tuple[str, BinaryIO]]:
    """Yield a display name and a seekable binary file; close it only if we opened it."""
    if isinstance(source, (bytes, bytearray)):
        yield "the given bytes", io.BytesIO(source)
    elif isinstance(source, (str, Path)) and str(source) != STDIN:
        path = Path(source)
        try:
            if path.is_dir():
                raise AudioError(f"'{source}' is a folder, not an audio file; name the files in it")
            with path.open("rb") as opened:
                yield str(source), _seekable(opened)
        except FileNotFoundError as error:
            raise AudioError(f"'{source}': no such file") from error
        except PermissionError as error:
            raise AudioError(f"'{source}': no permission to read it") from error
        except OSError as error:
            raise AudioError(f"'{source}': {error.strerror or error}") from error
    else:
        file: BinaryIO = sys.stdin.buffer if isinstance(source, (str, Path)) else source
        if isinstance(file, io.TextIOBase):
            raise AudioError("the file is open as text; open it with mode 'rb'")
        name = "standard input" if file is sys.stdin.buffer else str(getattr(file, "name", "the given file"))
        yield name, _seekable(file)


def _seekable(file: BinaryIO) -> BinaryIO:
    """The file itself, or its bytes in memory when it is a pipe: both decoders jump around in a file."""
    return file if file.seekable() else io.BytesIO(file.read())


def _array_blocks(source: Any, sample_rate: int | None) -> tuple[int, Iterator[np.ndarray]]:
    samples = np.asarray(source)
    if sample_rate is None:
        raise AudioError("an array of samples needs its rate: load_audio(samples, sample_rate=16000)")
    if samples.ndim not in (1, 2):
        raise AudioError(f"array of shape {samples.shape}; expected (n,), (n, channels) or (channels, n)")
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T  # there are always fewer channels than samples
    code = samples.dtype.str[1:]
    if code in _INT_SCALE:
        samples = samples.astype(np.float32) / np.float32(_INT_SCALE[code])
    elif code == "u1":  # 8-bit audio is unsigned, with silence at 128
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind != "f":
        raise AudioError(f"array of {samples.dtype}; expected float in [-1, 1], int16, int32 or uint8")
    return int(sample_rate), iter([(samples if samples.ndim == 2 else samples[:, None]).astype(np.float32)])


def _decode(name: str, file: BinaryIO) -> Waveform:
    start = file.tell()
    head = file.read(16)
    if not head:
        raise AudioError(f"'{name}' is empty (0 bytes)")
    file.seek(start)
    if looks_like_mp3(head):
        has_length = check_mp3_is_whole(name, file)
        file.seek(start)
        if not has_length:  # libsndfile would guess a length from the first frame, and stop there
            return _decode_container(name, file, head)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        file.seek(start)
        return _decode_container(name, file, head)
    with sound:
        # A header written before the recording says 0 frames, and libsndfile cannot read a flac of unknown length.
        if not 0 < sound.frames < 1 << 40:
            file.seek(start)
            return _decode_container(name, file, head)
        return _resample(name, sound.samplerate, _soundfile_blocks(name, sound))


def _soundfile_blocks(name: str, sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Yield blocks `(n, channels)`; raise at the end if the file holds less than its header promises."""
    promised = _promised_frames(sound)
    decoded = 0
    while True:
        try:
            block = sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioTruncatedError(name, error.error_string.removeprefix("Error : ").rstrip(".")) from error
        decoded += len(block)
        yield block
        if len(block) < _BLOCK_FRAMES:
            break
    duration = decoded / sound.samplerate
    _check_whole(name, duration, promised / sound.samplerate)
    if re.search(r"Ogg ?: Junk after the last page", sound.extra_info):  # part of a page
        raise AudioTruncatedError(name, f"it ends inside a page, after {duration:.1f} s")
    if "Last page lacks an end-of-stream bit" in sound.extra_info:  # cut off, or a stream that just stopped
        _log.warning("'%s' has no end mark; it may be cut off after %.1f s", name, duration)


def _promised_frames(sound: soundfile.SoundFile) -> int:
    """Frames according to the header."""
    cut = re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", sound.extra_info)
    if cut and int(cut[1]) < 0x7FFF0000:  # programs that stream write the largest size they can, for "unknown"
        return round(sound.frames * int(cut[1]) / max(int(cut[2]), 1))
    return sound.frames


def _check_whole(name: str, decoded: Seconds, promised: Seconds, tolerance: Seconds = 0.1) -> None:
    if promised - decoded > tolerance:  # decoders differ by an encoder delay of up to 50 ms
        raise AudioTruncatedError(name, f"{decoded:.1f} s of audio, but its header promises {promised:.1f} s")


def _decode_container(name: str, file: BinaryIO, head: bytes) -> Waveform:
    import av

    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
    try:
        with av.open(file, mode="r", options=options) as container:
            if not container.streams.audio:
                raise AudioDecodeError(name, "it has no audio track")
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            return _resample(name, rate, _container_blocks(name, container, rate))
    except av.FFmpegError as error:
        if head[4:8] == b"ftyp":
            raise AudioTruncatedError(name, "its index is missing, or was never written") from error
        if looks_like_mp3(head) or head[:4] in _MAGIC:
            raise AudioTruncatedError(name, "it begins like audio, but nothing in it can be decoded") from error
        raise AudioDecodeError(name, "no audio format recognised in it") from error


def _container_blocks(name: str, container: Any, rate: int) -> Iterator[np.ndarray]:
    import av

    stream = container.streams.audio[0]
    promised: Seconds = 0.0
    if container.format.name.startswith(("mov", "matroska")):  # FFmpeg guesses the durations of other formats
        # The duration of a container with pictures may be that of a longer video.
        promised = float((stream.duration or 0) * stream.time_base)
        if not promised and container.duration and not container.streams.video:
            promised = container.duration / av.time_base
    resampler = av.AudioResampler(format="fltp", rate=rate)
    decoded = num_broken = 0
    ends_broken = False
    reached: Seconds = 0.0
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
    _check_whole(name, max(decoded / rate, reached), promised, tolerance=max(0.2, 0.01 * promised))  # rounded durations
    if ends_broken:
        raise AudioTruncatedError(name, f"its last packet is broken, after {max(decoded / rate, reached):.1f} s")
    if num_broken:
        _log.warning("'%s': skipped %d broken packets", name, num_broken)


def _resample(name: str, rate: int, blocks: Iterator[np.ndarray]) -> Waveform:
    """Mix blocks `(n, channels)` to mono and resample them to 16 kHz, one block at a time.

    The result equals that of one call on the whole signal, to the last bit.
    """
    if not _MIN_RATE <= rate <= _MAX_RATE:
        raise AudioError(f"'{name}' has a sample rate of {rate} Hz; expected {_MIN_RATE} to {_MAX_RATE}")
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ") if rate != SAMPLE_RATE else None
    parts: list[np.ndarray] = []
    num_bad = 0
    for block in blocks:
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        num_bad += int(np.count_nonzero(~np.isfinite(mono)))
        if not num_bad:
            parts.append(stream.resample_chunk(mono) if stream else mono)
    if num_bad:
        raise AudioError(f"'{name}' holds {num_bad} NaN or infinite samples; export it again with finite ones")
    if stream:
        parts.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    waveform = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if len(waveform) and (peak := float(np.abs(waveform).max())) > _MAX_FLOAT:
        raise AudioError(
            f"'{name}' has float samples up to {peak:.0f}; expected [-1, 1]. Are they integers? Use int16."
        )
    return np.clip(waveform, -1.0, 1.0)
