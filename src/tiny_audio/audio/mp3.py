"""Tell a whole mp3 from one that was cut off; decoders read both without a word.

An mp3 is a row of frames. Many files begin with one that only counts the others (a Xing, Info or VBRI header), but
nothing demands it, and a file without it can only be seen to end inside a frame.
"""

import re
from typing import BinaryIO

from tiny_audio.errors import AudioTruncatedError
from tiny_audio.types import Seconds

_TOLERANCE: Seconds = 0.1  # decoders differ by an encoder delay of up to 50 ms


def looks_like_mp3(head: bytes) -> bool:
    """A tag, or the sync word of a layer III frame; other formats may carry the tag too."""
    return head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2)


def check_mp3_is_whole(name: str, file: BinaryIO) -> bool:
    """Compare the packets of an mp3 with its Xing header, if any, and its last packet with that packet's own header.

    Done before soundfile sees the file, because libsndfile decodes a cut mp3 without an error, and its mp3 library
    prints warnings of its own. Returns whether the header tells the length of the audio; leaves the file anywhere.

    Raises:
        AudioTruncatedError: it ends too early.
    """
    import av

    has_length = _tells_length(file)
    reached: Seconds = 0.0
    last = b""
    try:
        with av.open(file, mode="r", options={"format_whitelist": "mp3"}) as container:
            stream = container.streams.audio[0]
            promised = float((stream.duration or 0) * (stream.time_base or 0))
            for packet in container.demux(stream):
                if packet.size and packet.duration and packet.time_base:
                    reached += float(packet.duration * packet.time_base)
                    last = bytes(packet)
    except (av.FFmpegError, IndexError):
        return False
    if has_length and promised - reached > _TOLERANCE:
        raise AudioTruncatedError(name, f"{reached:.1f} s of audio, but its header promises {promised:.1f} s")
    if len(last) < _frame_bytes(last):
        raise AudioTruncatedError(name, f"it ends inside an mp3 frame, after {reached:.1f} s")
    return has_length


def _tells_length(file: BinaryIO) -> bool:
    """Whether the first frame counts the others (Xing, Info or VBRI header); without it decoders guess the length."""
    start = file.tell()
    tag = file.read(10)
    # The size of an ID3 tag is written in 7-bit bytes.
    size = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(tag[6:10]))) if tag[:3] == b"ID3" else 0
    file.seek(start + size)
    first_frame = file.read(200)
    file.seek(start)
    return re.search(rb"(Xing|Info)\0\0\0[\x01\x03\x05\x07\x09\x0b\x0d\x0f]|VBRI", first_frame) is not None


def _frame_bytes(frame: bytes) -> int:
    """Length of a layer III frame from its 4-byte header (ISO 11172-3, 2.4.2.3); 0 where it does not say."""
    if len(frame) < 4 or frame[:3] == b"ID3" or not looks_like_mp3(frame):
        return 0
    is_mpeg1 = frame[1] & 0x18 == 0x18
    kbps = (
        (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
        if is_mpeg1
        else (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
    )[frame[2] >> 4]
    rate = {0x18: 1, 0x10: 2, 0x00: 4}.get(frame[1] & 0x18, 0)
    hertz = (44_100, 48_000, 32_000, 0)[frame[2] >> 2 & 3]
    if not (kbps and rate and hertz):
        return 0
    return (144 if is_mpeg1 else 72) * kbps * 1000 * rate // hertz + (frame[2] >> 1 & 1)
