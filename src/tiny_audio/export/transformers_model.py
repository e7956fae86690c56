"""What `transformers` loads from an exported folder: configuration, model, processor and pipeline.

A copy of this file, and of the modules that it imports, lies in the folder; nothing of the recogniser is written twice.
`from_pretrained` reads the folder as the checkpoint that it is.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoModelForMultimodalLM,
    BatchFeature,
    GenerationConfig,
    Pipeline,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.processing_utils import ProcessorMixin

from tiny_audio.audio.io import AudioStream, load_audio, open_audio
from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.errors import AudioError
from tiny_audio.export.carried_transcriber import CarriedTranscriber
from tiny_audio.inference.recognizer import DTYPES, DType, Mode, Recognizer
from tiny_audio.inference.results import Transcript
from tiny_audio.inference.writers import JSON_SHAPES, Style
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.text.prompts import AUDIO_ID, encode_transcript, end_token_id, prompt_token_ids

MODEL_TYPE = "tiny_audio"
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token")


class TinyAudioConfig(PreTrainedConfig):
    """The keys of `transformers` around our configuration, which stands under `tiny_audio`."""

    model_type = MODEL_TYPE

    def __init__(self, tiny_audio: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self.tiny_audio = asdict(ASRConfig()) if tiny_audio is None else dict(tiny_audio)
        super().__init__(**kwargs)


class TinyAudioModel(PreTrainedModel):
    """A recogniser of audio of any length."""

    config_class = TinyAudioConfig
    main_input_name = "input_values"

    def __init__(self, config: TinyAudioConfig) -> None:
        super().__init__(config)
        self.generation_config = GenerationConfig(is_multilingual=False)

    @classmethod
    def from_pretrained(cls, name: str | Path, *_: Any, config: Any = None, **options: Any) -> "TinyAudioModel":  # type: ignore[override]
        """Load an exported folder, or a hub repository with its files.

        Args:
            name: of the folder or repository.
            config: as `AutoConfig` gave it.
            options: `mode`: accurate (the default), letters, without the language model, or fast, the CTC alone.
                `dtype`: of the products, a name or a type of torch; without one, 8-bit integers where the CPU is fast
                at them. `device_map`: a device; else a GPU where there is one. Those of the hub. Others, such as
                `attn_implementation`, make no difference.
        """
        folder = _local_folder(name, options)
        model = cls(config or TinyAudioConfig.from_pretrained(folder))
        device = options.get("device_map") or "auto"
        if isinstance(device, Mapping):  # of parts, which are not told apart here
            device = next(iter(device.values()))
        model._load(
            folder,
            mode=options.get("mode", "accurate"),
            dtype=_dtype_name(options.get("dtype") or options.get("torch_dtype")),
            device=device if isinstance(device, str) else str(torch.device(device)),
        )
        return model

    def _load(self, folder: Path, *, mode: Mode, dtype: DType, device: str) -> None:
        self._loaded: dict[str, Any] = {"folder": folder, "mode": mode, "dtype": dtype}
        recognizer = Recognizer.from_pretrained(folder, mode=mode, dtype=dtype, device=device)
        self.recognizer = recognizer
        # So that device and number format are those of the parameters, as everywhere in transformers.
        self.encoder, self.projector = recognizer.encoder, recognizer.projector
        self.transcriber = CarriedTranscriber(recognizer, folder)
        self.eval()

    def to(self, *args: Any, **kwargs: Any) -> "TinyAudioModel":  # type: ignore[override]
        """Move to a device. The format of the products is that of `from_pretrained`."""
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        if device is not None and device.type != self.device.type:
            self._load(**self._loaded, device=str(device))
        return self

    @classmethod
    def can_generate(cls) -> bool:
        """It writes text."""
        return True

    def transcribe(self, sources: Iterable[Any], *, with_words: bool = False) -> Iterator[Transcript]:
        """The transcript of each file name, bytes, binary file, waveform at 16 kHz, or dictionary of `datasets`.

        Raises:
            AudioError: nothing can be decoded.
        """
        self.recognizer.with_words = with_words
        for outcome in self.transcriber.transcribe_many(map(_as_source, sources)):
            if isinstance(outcome, AudioError):
                raise outcome
            yield outcome

    @torch.inference_mode()
    def generate(  # type: ignore[override]
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """Token ids of the texts `(B, L)`, behind `input_ids` if there are any; what is no text is padding.

        Args:
            input_values: samples at 16 kHz `(B, S)`.
            attention_mask: which of them are real.
            input_ids: the prompt, as the processor gives it.
        """
        rows = input_values.float().cpu().numpy()
        lengths = attention_mask.sum(dim=1).tolist() if attention_mask is not None else [rows.shape[1]] * len(rows)
        waveforms = [row[:length] for row, length in zip(rows, lengths, strict=True)]
        tokenizer = self.recognizer.tokenizer
        end_id = end_token_id(tokenizer, self.recognizer.config.prompt)
        answers = [[*encode_transcript(tokenizer, item.text), end_id] for item in self.transcribe(waveforms)]
        longest = max(map(len, answers))
        padded = torch.tensor([answer + [end_id] * (longest - len(answer)) for answer in answers])
        return padded if input_ids is None else torch.cat([input_ids.cpu(), padded], dim=1)

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:  # type: ignore[override]
        """Copy the folder that it was loaded from."""
        shutil.copytree(self._loaded["folder"], save_directory, dirs_exist_ok=True)


class TinyAudioProcessor(ProcessorMixin):
    """Audio to the model's input, and its token ids to text."""

    attributes = ("tokenizer",)
    model_input_names = ["input_values", "attention_mask", "input_ids"]  # noqa: RUF012

    def __init__(self, tokenizer: Any, config: ASRConfig) -> None:
        self.tokenizer = tokenizer
        self.config = config

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> "TinyAudioProcessor":  # type: ignore[override]
        """Of an exported folder, or a hub repository with its files."""
        folder = _local_folder(name, options)
        config = ASRConfig.load(folder / "config.json")
        return cls(PreTrainedTokenizerFast.from_pretrained(folder), config)

    def __call__(self, audio: Any, sampling_rate: int = SAMPLE_RATE, **_: Any) -> BatchFeature:  # type: ignore[override]
        """Samples `(B, S)` at 16 kHz and which of them are real.

        Args:
            audio: one file name, bytes or array, or a list of them.
            sampling_rate: of arrays, in Hz.
        """
        sources = audio if isinstance(audio, list | tuple) else [audio]
        waveforms = [_as_waveform(source, sampling_rate) for source in sources]
        values = np.zeros((len(waveforms), max(map(len, waveforms))), np.float32)
        mask = np.zeros(values.shape, np.int64)
        for row, waveform in enumerate(waveforms):
            values[row, : len(waveform)], mask[row, : len(waveform)] = waveform, 1
        return BatchFeature({"input_values": values, "attention_mask": mask}, tensor_type="pt")

    def apply_transcription_request(self, audio: Any, sampling_rate: int = SAMPLE_RATE, **_: Any) -> BatchFeature:
        """As a call, with the tokens of the prompt `(B, L)`, behind which `generate` puts the text."""
        inputs = self(audio, sampling_rate)
        prompt = [token for token in prompt_token_ids(self.tokenizer, self.config.prompt) if token != AUDIO_ID]
        inputs["input_ids"] = torch.tensor([prompt] * len(inputs["input_values"]))
        return inputs

    def batch_decode(self, token_ids: Any, **_: Any) -> list[str]:  # type: ignore[override]
        """The text of each row."""
        return [self.decode(row) for row in token_ids]

    def decode(self, token_ids: Any, **_: Any) -> str:  # type: ignore[override]
        """The text of token ids."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True)).strip()


class TinyAudioPipeline(Pipeline):
    """`pipeline("automatic-speech-recognition")` for audio of any length; it needs no chunk lengths."""

    _load_processor: Any = False
    _load_image_processor: Any = False
    _load_feature_extractor: Any = False
    _load_tokenizer: Any = False

    def __call__(self, inputs: Any, **options: Any) -> Any:  # type: ignore[override]
        """Transcribe one source, or several.

        Args:
            inputs: a file name, bytes, samples at 16 kHz, or `{"array": ..., "sampling_rate": ...}`; a list gives a
                list, an iterator or data set an iterator.
            options: `return_timestamps`: "word" or True for `chunks` with times. Others make no difference.
        """
        options = self._preprocess_params | options
        if isinstance(inputs, list | tuple):
            return list(self._results(inputs, options))
        if isinstance(inputs, str | bytes | Path | Mapping | np.ndarray | Tensor) or hasattr(inputs, "read"):
            return next(self._results([inputs], options))
        return self._results(inputs, options)

    def _results(self, sources: Iterable[Any], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        wanted = options.get("return_timestamps")
        model: Any = self.model
        for transcript in model.transcribe(sources, with_words=wanted == "word"):
            if not wanted:
                yield {"text": transcript.text}
                continue
            shaped = JSON_SHAPES["hf"](transcript, Style(word_timestamps=wanted == "word"))
            chunks = [chunk | {"timestamp": tuple(chunk["timestamp"])} for chunk in shaped["chunks"]]
            yield shaped | {"chunks": chunks}

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:  # type: ignore[override]
        return options, {}, {}

    def preprocess(self, input_: Any, **_: Any) -> Any:
        """Unused: the transcriber reads, cuts and batches by itself."""
        raise NotImplementedError

    def _forward(self, input_tensors: Any, **_: Any) -> Any:
        raise NotImplementedError

    def postprocess(self, model_outputs: Any, **_: Any) -> Any:
        """Unused, as `preprocess`."""
        raise NotImplementedError


def _as_source(source: Any) -> Any:
    """What a transcriber takes."""
    rate = SAMPLE_RATE
    if isinstance(source, Mapping):
        found = source.get("array", source.get("raw"))
        rate = source.get("sampling_rate", SAMPLE_RATE)
        source = source.get("bytes") or source.get("path") if found is None else found
    if isinstance(source, Tensor):
        source = source.numpy()
    return _stream(source, rate) if isinstance(source, np.ndarray) else source


def _stream(samples: np.ndarray, rate: int) -> AudioStream:
    with open_audio(samples, sample_rate=rate) as stream:  # an array is no file: there is nothing to close
        return stream


def _as_waveform(source: Any, rate: int) -> np.ndarray:
    if isinstance(source, Tensor):
        source = source.numpy()
    return load_audio(source, sample_rate=rate if isinstance(source, np.ndarray) else None)


def _dtype_name(dtype: Any) -> DType:
    name = str(dtype or "auto").removeprefix("torch.")
    return name if name in DTYPES else "float32"  # type: ignore[return-value]


def _local_folder(name: str | Path, options: Mapping[str, Any]) -> Path:
    """The folder itself, or the snapshot of a hub repository."""
    if Path(name).is_dir():
        return Path(name).absolute()
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(str(name), **{key: options[key] for key in _HUB_OPTIONS if options.get(key)}))


AutoModelForMultimodalLM.register(TinyAudioConfig, TinyAudioModel, exist_ok=True)  # how the leaderboard finds it
