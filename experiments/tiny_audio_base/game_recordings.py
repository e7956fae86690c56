"""Real speech of many actors out of three freely modifiable games, as a manifest and audio files each.

    .venv/bin/python experiments/tiny_audio_base/game_recordings.py PACKAGES OUT

PACKAGES is a folder with Debian's packages beneath-a-steel-sky, flight-of-the-amazon-queen, drascula and scummvm-data,
each unpacked there (`dpkg-deb --extract`). OUT gets `sky.jsonl`, `queen.jsonl`, `drascula.jsonl`, without texts, and
`queen-texts.json`, `drascula-texts.json`: what the games show while somebody speaks, for `game_texts.py`. The texts of
the first game are Huffman codes whose table is in no file of the package; its speech is labelled instead.
"""

import json
import re
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.types import Waveform

RATE = 11_025
MIN_SECONDS = 0.3
_SKY = "usr/share/scummvm/beneath-a-steel-sky"
_QUEEN = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
_DRASCULA = "usr/share/scummvm/drascula/en"
_DRASCULA_TEXTS = "usr/share/scummvm/drascula.dat"
_SKY_HEADER = 22
_SKY_SPEECH = range(50_000, 60_000)
_QUEEN_TEXTS = ("DOG", "CUT", "JAS")


class RobNorthenBits:
    """Bits of a file packed with method 1 of Rob Northen's compression: words of 16 bits, lowest first.

    Literal bytes stand between the words, at the place that has been read up to (`position`).
    """

    def __init__(self, packed: bytes, position: int) -> None:
        self.packed = packed + bytes(4)
        self.position = position
        self._bits = self._word()
        self._count = 16

    def _word(self) -> int:
        return int.from_bytes(self.packed[self.position : self.position + 2], "little")

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._count -= count
        if self._count < 16:
            self.position += 2
            self._bits |= self._word() << self._count
            self._count += 16
        return value

    def literals(self, count: int) -> bytes:
        """The next `count` bytes that stand between the words."""
        taken = self.packed[self.position : self.position + count]
        self.position += count
        self._count -= 16
        self._bits = self._bits & ((1 << self._count) - 1) | self._word() << self._count
        self._count += 16
        return taken

    def table(self) -> list[tuple[int, int]]:
        """The next Huffman table: number of bits and symbol for each value of as many bits as the longest code."""
        lengths = [self.take(4) for _ in range(self.take(5))]
        longest = max(lengths, default=0)
        table = [(0, 0)] * (1 << longest)
        code = 0
        for length in range(1, longest + 1):
            for symbol, found in enumerate(lengths):
                if found == length:
                    reversed_code = int(f"{code:0{length}b}"[::-1], 2)
                    for high in range(1 << (longest - length)):
                        table[high << length | reversed_code] = (length, symbol)
                    code += 1
            code <<= 1
        return table

    def number(self, table: list[tuple[int, int]]) -> int:
        """The next number in that table's code: 0, 1, or how many bits follow the leading one."""
        length, symbol = table[self._bits & (len(table) - 1)]
        self.take(length)
        return symbol if symbol < 2 else 1 << (symbol - 1) | self.take(symbol - 1)


def unpack(packed: bytes) -> bytes:
    """What a file packed with method 1 of Rob Northen's compression holds."""
    if packed[:4] != b"RNC\x01":
        raise ValueError(f"found {packed[:4]!r} at the beginning; expected 'RNC' and method 1")
    size = int.from_bytes(packed[4:8], "big")
    bits = RobNorthenBits(packed, position=18)
    bits.take(2)
    out = bytearray()
    while len(out) < size:
        literals, distances, lengths = bits.table(), bits.table(), bits.table()
        for left in reversed(range(bits.take(16))):
            if count := bits.number(literals):
                out += bits.literals(count)
            if left:
                distance, length = bits.number(distances) + 1, bits.number(lengths) + 2
                for _ in range(length):
                    out.append(out[-distance])
    return bytes(out)


def sky_recordings(packages: Path) -> Iterator[tuple[str, Waveform]]:
    """Name and samples of each speech file of Beneath a Steel Sky (8 bits, packed)."""
    (folder,) = packages.glob(f"*/{_SKY}")
    directory, disk = (folder / "sky.dnr").read_bytes(), (folder / "sky.dsk").read_bytes()
    for index in range(int.from_bytes(directory[:4], "little")):
        entry = directory[4 + 8 * index : 12 + 8 * index]
        number, offset, flags = (int.from_bytes(entry[a:b], "little") for a, b in ((0, 2), (2, 5), (5, 8)))
        if number not in _SKY_SPEECH:
            continue
        offset = (offset & 0x7FFFFF) << (4 if offset >> 23 else 0)
        file = disk[offset + _SKY_HEADER : offset + (flags & 0x3FFFFF)]
        if file[:3] == b"RNC":
            yield str(number), eight_bit_samples(unpack(file))


def queen_files(packages: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in the archive of Flight of the Amazon Queen."""
    (archive,) = packages.glob(f"*/{_QUEEN}")
    content = archive.read_bytes()
    (count,) = struct.unpack_from(">H", content, 13)
    for index in range(count):
        name, _, offset, size = struct.unpack_from(">12sBII", content, 15 + 21 * index)
        yield name.rstrip(b"\0 ").decode("latin-1"), content[offset : offset + size]


def queen_recordings(packages: Path) -> Iterator[tuple[str, Waveform]]:
    """Name and samples of each speech file of Flight of the Amazon Queen (MP3)."""
    for name, content in queen_files(packages):
        if name.endswith(".SB"):
            samples, rate = soundfile.read(BytesIO(content), dtype="float32")
            assert rate == RATE, f"found {rate} Hz in '{name}', expected {RATE}"
            yield name.removesuffix(".SB"), samples


def queen_texts(packages: Path) -> dict[str, list[str]]:
    """What is shown in Flight of the Amazon Queen, by the file of the dialogue that it stands in."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for name, content in queen_files(packages):
        if name.endswith(_QUEEN_TEXTS):
            for found in re.findall(rb"[\x20-\x7e]{4,}", content):
                shown = found.decode("ascii")
                # A string's length stands before it and may look like one more letter.
                if ord(shown[0]) == len(shown) - 1 and not name.endswith("JAS"):
                    shown = shown[1:]
                # `*04` and the like end a piece that is spoken in one go, `*FL` turns a figure.
                parts = [tidied(part) for part in re.split(r"\*(?:[A-Z]{2}|\d\d[a-z]?)", shown)]
                texts[name] += [part for part in [*parts, " ".join(parts)] if len(part) > 1]
    return texts


def drascula_recordings(packages: Path) -> Iterator[tuple[str, Waveform]]:
    """Name and samples of each speech file of Drascula in English (8 bits)."""
    (folder,) = packages.glob(f"*/{_DRASCULA}")
    for path in sorted(folder.glob("*.ALS")):
        yield path.stem, eight_bit_samples(path.read_bytes())


def drascula_texts(packages: Path) -> dict[str, list[str]]:
    """What is shown in Drascula, in sentence case (the game has capitals only); other languages among it."""
    (table,) = packages.glob(f"*/{_DRASCULA_TEXTS}")
    texts = []
    for found in re.findall(rb"[\x20-\x7e]{3,}", table.read_bytes()):
        shown = found.decode("ascii")
        # The room a string takes, a multiple of four, stands before it.
        if ord(shown[0]) % 4 == 0 and 0 <= ord(shown[0]) - len(shown) + 1 <= 5:
            shown = shown[1:]
        if shown == shown.upper():
            texts.append(tidied(shown))
    return {"drascula.dat": [text for text in texts if text]}


def tidied(shown: str) -> str:
    """A text without what only the game's display needs, and in sentence case if it is all capitals."""
    text = re.sub(r"[\s@_]+", " ", shown)
    text = re.sub(r"^[^A-Za-z0-9.'\"]+", "", text).strip('" (<,')
    if re.match(r"[A-Za-z0-9][A-Z][a-z]", text):  # a byte before the text that looks like a letter
        text = text[1:]
    text = re.sub(r"^[0-9.]+(?=[A-Z])", "", text)
    if text == text.upper():
        text = re.sub(r"\bi\b", "I", text.lower())
        text = re.sub(r"(^|[.!?]\s+)([a-z])", lambda match: match[1] + match[2].upper(), text)
    return text


def eight_bit_samples(content: bytes) -> Waveform:
    """Samples between -1 and 1 of unsigned bytes."""
    return (np.frombuffer(content, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)


def main() -> None:
    """Write manifests, audio and texts."""
    packages, output = map(Path, sys.argv[1:3])
    for game, recordings in (
        ("sky", sky_recordings(packages)),
        ("queen", queen_recordings(packages)),
        ("drascula", drascula_recordings(packages)),
    ):
        (output / game).mkdir(parents=True, exist_ok=True)
        utterances = []
        for name, samples in recordings:
            seconds = round(len(samples) / RATE, 3)
            if seconds >= MIN_SECONDS:
                path = (output / game / f"{name}.flac").absolute()
                soundfile.write(path, samples, RATE, subtype="PCM_16")
                utterances.append(Utterance(id=f"{game}-{name}", audio=path, duration=seconds, text="", speaker=game))
        write_manifest(output / f"{game}.jsonl", utterances)
        hours = sum(utterance.duration for utterance in utterances) / 3600
        sys.stderr.write(f"{game}: {len(utterances)} recordings, {hours:.2f} h\n")
    for game, texts in (("queen", queen_texts(packages)), ("drascula", drascula_texts(packages))):
        (output / f"{game}-texts.json").write_text(json.dumps(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
