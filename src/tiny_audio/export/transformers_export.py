"""A folder that `transformers` loads without this package, and this package too: a checkpoint with all it needs.

config.json           the keys of transformers around our configuration
model.safetensors     the trained part, as in every checkpoint
encoder/              the frozen encoder, and
language_model/       the language model with its tokenizer, as transformers would save them
*.py                  copies of our modules, see `export.bundle`
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tiny_audio.errors import ExportError
from tiny_audio.export.bundle import bundle, entry
from tiny_audio.export.carried_transcriber import VAD_FILE
from tiny_audio.export.folder import new_folder
from tiny_audio.models.asr_config import EXPORT_KEY, ASRConfig, EncoderConfig, LLMConfig
from tiny_audio.models.checkpoint import CONFIG_FILE, WEIGHTS_FILE, checkpoint_folder, read_config
from tiny_audio.models.ctc_model import is_ctc_checkpoint
from tiny_audio.models.encoders.build import STORED, build_encoder, encoder_architecture
from tiny_audio.models.llm import build_llm, build_tokenizer
from tiny_audio.weights.pretrained_folder import WEIGHT_PATTERNS, fingerprint, resolve_folder
from tiny_audio.weights.store import SILERO_VAD, fetch

ENTRY = "tiny_audio.export.transformers_model"
CLASSES = {
    "AutoConfig": "TinyAudioConfig",
    "AutoModel": "TinyAudioModel",
    "AutoModelForMultimodalLM": "TinyAudioModel",
    "AutoModelForSpeechSeq2Seq": "TinyAudioModel",
    "AutoProcessor": "TinyAudioProcessor",
}
PACKAGES = ("transformers", "torch", "soundfile", "soxr", "whisper-normalizer")
"""What the folder needs."""
OPTIONAL_PACKAGES = ("onnxruntime", "av")
"""For the detector of pauses in long audio, and for m4a, mp4 and webm."""
_README = """# {name} for transformers

    pip install {packages}

```python
from transformers import pipeline

asr = pipeline("automatic-speech-recognition", "FOLDER", trust_remote_code=True)
print(asr("AUDIO", return_timestamps="word"))
```

Audio of any length, as a file name, bytes, or an array; {optional} are used where they are installed. The Python files
are copies of the modules of tiny-audio; `trust_remote_code` runs them.
"""
_ENCODER, _LLM = "encoder", "language_model"
_PREPROCESSOR = "preprocessor_config.json"


def export_transformers(
    name: str | Path, folder: Path, *, reference_bases: bool = False, dtype: torch.dtype = torch.float16
) -> None:
    """Write the folder.

    Args:
        name: of a shipped model, or a checkpoint folder.
        folder: must not exist, or be empty.
        reference_bases: name the frozen encoder and language model, with their SHA-256, in place of copies.
        dtype: of the copies.

    Raises:
        ExportError: the checkpoint is a CTC model of its own, which has no such form.
        CheckpointError, UnknownNameError, WeightsError: the checkpoint or its frozen parts cannot be read.
        OutputError: the folder cannot be written.
    """
    if is_ctc_checkpoint(name):
        raise ExportError(f"'{name}' is a CTC model of its own; expected a checkpoint with a projector")
    config = read_config(name)
    with new_folder(folder) as part:
        if not reference_bases:
            config = replace(
                config,
                encoder=_write_encoder(config.encoder, part / _ENCODER, dtype),
                llm=_write_llm(config.llm, part / _LLM, dtype),
            )
        build_tokenizer(read_config(name).llm).save_pretrained(part)
        shutil.copyfile(checkpoint_folder(name) / WEIGHTS_FILE, part / WEIGHTS_FILE)
        shutil.copyfile(fetch(SILERO_VAD), part / VAD_FILE)
        for file_name, text in bundle([ENTRY], with_lazy=True).items():
            (part / file_name).write_text(text, encoding="utf-8")
        _write_json(part / CONFIG_FILE, transformers_config(config))
        (part / "README.md").write_text(
            _README.format(name=Path(name).name, packages=" ".join(PACKAGES), optional=" and ".join(OPTIONAL_PACKAGES)),
            encoding="utf-8",
        )
        reference = {"AutoProcessor": f"{entry(ENTRY)}.TinyAudioProcessor"}
        _write_json(part / "processor_config.json", {"auto_map": reference})


def transformers_config(config: ASRConfig) -> dict[str, Any]:
    """What `config.json` holds."""
    module = entry(ENTRY)
    task = {"impl": f"{module}.TinyAudioPipeline", "pt": ["AutoModel"], "tf": [], "type": "multimodal"}
    return {
        "model_type": "tiny_audio",
        "architectures": ["TinyAudioModel"],
        "auto_map": {auto: f"{module}.{cls}" for auto, cls in CLASSES.items()},
        "custom_pipelines": {"automatic-speech-recognition": task},
        EXPORT_KEY: asdict(config),
    }


def _write_encoder(config: EncoderConfig, folder: Path, dtype: torch.dtype) -> EncoderConfig:
    """The encoder in a folder; one of random weights lies in the checkpoint already."""
    if config.source is None:
        return config
    folder.mkdir()
    if config.source in STORED:
        state = build_encoder(replace(config, lora=None)).state_dict()
        _write_json(folder / CONFIG_FILE, {"model_type": config.family, **encoder_architecture(config)})
        save_file(
            {f"model.encoder.{name}": tensor.to(dtype) for name, tensor in state.items()},
            folder / WEIGHTS_FILE,
            metadata={"format": "pt"},
        )
    else:
        source = resolve_folder(config.source, revision=config.revision, patterns=(_PREPROCESSOR,))
        for pattern in (*WEIGHT_PATTERNS, _PREPROCESSOR):
            for file in source.glob(pattern):
                shutil.copyfile(file, folder / file.name)
    return replace(config, source=f"./{_ENCODER}", revision=None, sha256=fingerprint(folder))


def _write_llm(config: LLMConfig, folder: Path, dtype: torch.dtype) -> LLMConfig:
    """The language model as it came, without adapters, and its tokenizer in a folder."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    build_llm(replace(config, training="frozen"), dtype=dtype).save_pretrained(folder)
    build_tokenizer(config).save_pretrained(folder)
    return replace(config, source=f"./{_LLM}", revision=None, sha256=fingerprint(folder))


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
