import io
import logging
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import encode, tone
from tiny_audio.audio.io import load_audio
from tiny_audio.errors import AudioDecodeError, AudioError, AudioTruncatedError

RATE = 44_100
SOUNDFILE_FORMATS = {"wav": {}, "flac": {}, "ogg": {"format": "OGG", "subtype": "VORBIS"}, "mp3": {}}
FFMPEG_FORMATS = {
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "webm": ("webm", "libopus"),
    "mp3 by FFmpeg": ("mp3", "libmp3lame"),
    "aac": ("adts", "aac"),
}
NO_XING = {"write_xing": "0", "id3v2_version": "0"}


def sound_bytes(name: str, waveform: np.ndarray | None = None, rate: int = RATE) -> bytes:
    """3 s of a tone in the format of that name."""
    waveform = tone(duration=3.0, sample_rate=rate) if waveform is None else waveform
    if name == "opus":
        return written(waveform, 48_000, format="OGG", subtype="OPUS")
    if name == "mp3 without a header":
        return encode(waveform, sample_rate=rate, container="mp3", codec="libmp3lame", options=NO_XING)
    if name in FFMPEG_FORMATS:
        container, codec = FFMPEG_FORMATS[name]
        rate = 48_000 if codec == "libopus" else rate
        return encode(waveform, sample_rate=rate, container=container, codec=codec)
    return written(waveform, rate, **{"format": name.upper(), **SOUNDFILE_FORMATS[name]})


def written(samples: np.ndarray, rate: int, **how: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **{"format": "WAV", **how})
    return buffer.getvalue()


def pitch(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform)))) * 16_000 / len(waveform)


# What works


@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "opus", "mp3", *FFMPEG_FORMATS, "mp3 without a header"])
def test_every_format_becomes_mono_float32_at_16_khz(name: str) -> None:
    waveform = load_audio(sound_bytes(name))

    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    expected = 3.0 * (RATE / 48_000 if name in ("opus", "webm") else 1.0)
    assert len(waveform) / 16_000 == pytest.approx(expected, abs=0.1)  # codecs add up to two frames of padding
    assert pitch(waveform) == pytest.approx(440 * 3.0 / expected, abs=2)
    assert np.abs(waveform).max() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_keeps_the_duration_and_the_pitch(rate: int) -> None:
    waveform = load_audio(written(tone(duration=1.0, sample_rate=rate), rate))

    assert len(waveform) == 16_000
    assert pitch(waveform) == pytest.approx(440, abs=1)


def test_frequencies_that_16_khz_cannot_hold_are_removed_not_folded_back() -> None:
    waveform = load_audio(written(tone(duration=1.0, hertz=15_000, sample_rate=48_000), 48_000))

    assert np.abs(waveform[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_channels_are_averaged(channels: int) -> None:
    mono = tone(duration=0.5)
    samples = np.zeros((len(mono), channels), np.float32)
    samples[:, 0] = mono

    waveform = load_audio(written(samples, 16_000, subtype="FLOAT"))

    np.testing.assert_allclose(waveform, mono / channels, atol=1e-6)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-24), ("DOUBLE", 1e-7)],
)
def test_every_sample_format_is_scaled_to_one(subtype: str, step: float) -> None:
    mono = tone(duration=0.5)

    np.testing.assert_allclose(load_audio(written(mono, 16_000, subtype=subtype)), mono, atol=2 * step)


def test_every_kind_of_source_gives_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sound_bytes("flac")
    path = tmp_path / "ein Klang \u266a.flac"
    path.write_bytes(data)

    expected = load_audio(path)

    for source in (str(path), data, bytearray(data), io.BytesIO(data)):
        np.testing.assert_array_equal(load_audio(source), expected)
    with path.open("rb") as file:
        np.testing.assert_array_equal(load_audio(file), expected)
        assert not file.closed
    pipe = io.TextIOWrapper(io.BufferedReader(Unseekable(data)))
    monkeypatch.setattr("sys.stdin", pipe)
    np.testing.assert_array_equal(load_audio("-"), expected)


class Unseekable(io.BytesIO):
    """Bytes that come once, as through a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("seek")


def test_a_file_object_is_read_from_where_it_stands() -> None:
    data = sound_bytes("wav")
    file = io.BytesIO(b"something before" + data)
    file.seek(len(b"something before"))

    assert len(load_audio(io.BytesIO(file.read()))) == 48_000


@pytest.mark.parametrize("shape", ["(n,)", "(n, 1)", "(1, n)", "(n, 2)", "(2, n)"])
def test_array_shapes(shape: str) -> None:
    mono = tone(duration=0.5)
    array = {
        "(n,)": mono,
        "(n, 1)": mono[:, None],
        "(1, n)": mono[None],
        "(n, 2)": np.stack([mono, mono], axis=1),
        "(2, n)": np.stack([mono, mono]),
    }[shape]

    np.testing.assert_array_equal(load_audio(array, sample_rate=16_000), mono)


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [("int16", 2**15, 0), (">i2", 2**15, 0), ("int32", 2**31, 0), ("uint8", 2**7, 128), ("float64", 1, 0)],
)
def test_array_types_are_scaled(dtype: str, scale: int, offset: int) -> None:
    mono = tone(duration=0.5).astype(np.float64)

    waveform = load_audio((mono * scale + offset).astype(dtype), sample_rate=16_000)

    np.testing.assert_allclose(waveform, mono, atol=max(1 / scale, 1e-7) if scale > 1 else 1e-7)


def test_samples_beyond_one_are_clipped() -> None:
    waveform = load_audio(5 * tone(duration=0.5), sample_rate=16_000)

    assert np.abs(waveform).max() == 1.0


def test_the_caller_s_array_stays_as_it_is() -> None:
    array = 5 * tone(duration=0.5)
    before = array.copy()

    load_audio(array, sample_rate=16_000)

    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_wav_from_a_stream_does_not_know_its_size(size: int) -> None:
    """Recorders and `ffmpeg ... -f wav -` write the header before they know the length."""
    data = sound_bytes("wav")
    at = data.index(b"data") + 4

    waveform = load_audio(data[:at] + struct.pack("<I", size) + data[at + 4 :])

    assert len(waveform) == 48_000


def test_a_flac_from_a_stream_does_not_know_its_length() -> None:
    data = bytearray(sound_bytes("flac"))
    data[21] &= 0xF0  # total samples, 36 bits of STREAMINFO
    data[22:26] = bytes(4)

    assert len(load_audio(bytes(data))) == 48_000


def test_an_mp3_of_varying_bit_rate_without_a_header_is_read_to_its_end() -> None:
    """libsndfile guesses the length from the first, loud frames: of 15 s it gives 5 s, without a word."""
    noise = np.random.default_rng(0).standard_normal(5 * RATE)
    data = encode(
        np.concatenate([0.3 * noise, np.full(10 * RATE, 1e-4)]),
        sample_rate=RATE,
        container="mp3",
        codec="libmp3lame",
        options=NO_XING,
        codec_options={"flags": "+qscale", "global_quality": "590"},
    )
    assert len(soundfile.read(io.BytesIO(data))[0]) < 10 * RATE  # still so; else this detour may go

    assert len(load_audio(data)) / 16_000 == pytest.approx(15.0, abs=0.1)


def test_long_audio_is_the_same_in_blocks_as_at_once() -> None:
    """Decoding and resampling go block by block; the seams must not be heard."""
    import soxr

    samples = tone(duration=20.0, sample_rate=48_000)  # more than two blocks

    waveform = load_audio(written(samples, 48_000, subtype="FLOAT"))

    np.testing.assert_array_equal(waveform, soxr.resample(samples, 48_000, 16_000, quality="HQ"))


# What cannot be used


def test_a_missing_file() -> None:
    with pytest.raises(AudioError, match=r"^'no/such/file.wav': no such file$"):
        load_audio("no/such/file.wav")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is a folder, not an audio file"):
        load_audio(tmp_path)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission(tmp_path: Path) -> None:
    path = tmp_path / "private.wav"
    path.write_bytes(sound_bytes("wav"))
    path.chmod(0)

    with pytest.raises(AudioError, match="no permission to read it"):
        load_audio(path)


def test_a_refused_open_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for root, whom the system does not refuse."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(AudioError, match=r"private.wav': no permission to read it$"):
        load_audio(tmp_path / "private.wav")


@pytest.mark.parametrize("name", ["empty.wav", "empty.mp3", "empty"])
def test_zero_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.touch()

    with pytest.raises(AudioError, match=r"is empty \(0 bytes\)$"):
        load_audio(path)


@pytest.mark.parametrize(
    "data",
    [
        b"These are words, not sounds.\n" * 100,
        b"<!DOCTYPE html><html><body>404 not found</body></html>",
        b"\x00",
        bytes(10_000),
        b"%PDF-1.7\n" + bytes(range(256)) * 20,
    ],
)
def test_bytes_that_are_no_audio(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_bytes(data)

    with pytest.raises(AudioDecodeError, match=r"text\.wav': no audio format recognised in it"):
        load_audio(path)


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    """FFmpeg would open the files and addresses that it names."""
    secret = tmp_path / "secret.mp3"
    secret.write_bytes(sound_bytes("mp3"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n"

    for text in (playlist, f"ffconcat version 1.0\nfile '{secret}'\n"):
        with pytest.raises(AudioDecodeError):
            load_audio(text.encode())


def test_a_video_without_sound() -> None:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))

    with pytest.raises(AudioDecodeError, match="it has no audio track"):
        load_audio(buffer.getvalue())


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize(
    "name", ["wav", "flac", "ogg", "opus", "mp3", "mp3 by FFmpeg", "mp3 without a header", "m4a", "mp4", "webm"]
)
def test_a_file_that_is_cut_off(name: str, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    """Decoders read most of these as if nothing were missing."""
    data = sound_bytes(name)

    with pytest.raises(AudioTruncatedError, match="is cut off or damaged: "):
        load_audio(data[: round(share * len(data)) + 1])

    assert capfd.readouterr().err == ""  # no remarks of the C libraries beside our one line


def test_the_message_about_a_cut_mp3_tells_how_much_is_left() -> None:
    data = sound_bytes("mp3")

    with pytest.raises(AudioTruncatedError, match=r"1\.[45] s of audio, but its header promises 3\.0 s"):
        load_audio(data[: len(data) // 2])


def test_the_first_bytes_of_an_mp3() -> None:
    with pytest.raises(AudioTruncatedError, match="nothing in it can be decoded"):
        load_audio(sound_bytes("mp3 by FFmpeg")[:200])


def test_an_ogg_stream_that_just_stopped_is_read_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    data = sound_bytes("ogg")

    with caplog.at_level(logging.WARNING):
        waveform = load_audio(data[: data.rindex(b"OggS")])

    assert len(waveform) > 16_000
    assert "has no end mark" in caplog.text


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_nan_and_infinite_samples_are_counted(subtype: str) -> None:
    samples = tone(duration=1.0)
    samples[100:110] = np.nan
    samples[5000:5002] = np.inf, -np.inf

    with pytest.raises(AudioError, match="holds 12 NaN or infinite samples"):
        load_audio(written(samples, 16_000, subtype=subtype))
    with pytest.raises(AudioError, match=r"^'the array' holds 12 NaN or infinite samples"):
        load_audio(samples, sample_rate=16_000)


@pytest.mark.parametrize("num_samples", [0, 1, 160, 1599])
def test_audio_too_short_to_hold_a_word(num_samples: int) -> None:
    with pytest.raises(AudioError, match=r"s of audio is too short to hold speech \(at least 0.1 s\)"):
        load_audio(np.zeros(num_samples, np.float32), sample_rate=16_000)
    with pytest.raises(AudioError, match=r"too short"):
        load_audio(written(np.zeros(num_samples), 16_000))


def test_the_shortest_audio() -> None:
    assert len(load_audio(np.zeros(1600, np.float32), sample_rate=16_000)) == 1600


def test_silence_stays_silence() -> None:
    """Dividing by the loudest sample would make it NaN."""
    assert not load_audio(np.zeros((8000, 2), np.int16), sample_rate=8000).any()


@pytest.mark.parametrize(
    ("array", "sample_rate", "message"),
    [
        (np.zeros(16_000), None, "needs its rate"),
        (np.zeros(16_000), 0, "sample rate of 0 Hz; expected 1000 to 1000000"),
        (np.zeros((10, 10, 10)), 16_000, "shape"),
        (np.zeros(16_000, np.complex64), 16_000, "complex64"),
        (np.zeros(16_000, np.int64), 16_000, "int64"),
        (np.full(16_000, 20_000.0), 16_000, "int16"),
    ],
)
def test_arrays_that_cannot_be_sound(array: np.ndarray, sample_rate: int | None, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        load_audio(array, sample_rate=sample_rate)


def test_a_header_with_an_impossible_rate_does_not_fill_the_memory() -> None:
    with pytest.raises(AudioError, match="has a sample rate of 1 Hz"):
        load_audio(written(tone(duration=3.0), 1))


def test_a_rate_beside_a_file_is_refused() -> None:
    with pytest.raises(AudioError, match="files carry their own rate"):
        load_audio(sound_bytes("wav"), sample_rate=8000)


def test_a_text_file_object_is_refused() -> None:
    with pytest.raises(AudioError, match="mode 'rb'"):
        load_audio(io.StringIO("words"))
