"""The exported folder in `transformers` without this package, and in this package as a checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from miniatures import miniature, noise, train_adapters
from tiny_audio.audio.io import load_audio
from tiny_audio.errors import CheckpointError, ExportError
from tiny_audio.export.transformers_export import export_transformers
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.models.asr_config import ASRConfig, LLMConfig, LoRAConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import read_config

LENGTHS = (15_000, 9_000, 12_000)
"""Below a second, where the model alone decides whether something is said."""
SPEECH = [Path(__file__).parents[2] / "examples" / name for name in ("LJ001-0009.flac", "LJ001-0120.flac")]
OUTSIDE = """
import json, sys
sys.modules["tiny_audio"] = None
import numpy as np, torch
from transformers import AutoModel, AutoProcessor, pipeline

folder, audio = sys.argv[1:]
waveforms = [np.load(f"{audio}/{i}.npy") for i in range(3)]
asr = pipeline("automatic-speech-recognition", folder, trust_remote_code=True, dtype=torch.float32, device="cpu")
wav = f"{audio}/0.wav"
model = AutoModel.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor.apply_transcription_request(waveforms).to(model.device, model.dtype)
output = model.generate(**inputs, max_new_tokens=64)
print(json.dumps({
    "arrays": [item["text"] for item in asr(waveforms)],
    "iterator": [item["text"] for item in asr(iter(waveforms))],
    "path": asr(wav),
    "bytes": asr(open(wav, "rb").read()),
    "long": asr(f"{audio}/long.wav", return_timestamps=True),
    "words": asr({"array": waveforms[0], "sampling_rate": 16000}, return_timestamps="word"),
    "generated": processor.batch_decode(output[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True),
    "leaked": any(name.startswith("tiny_audio.") for name in sys.modules),
}))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    config = miniature(ASRConfig(llm=LLMConfig(training="lora", lora=LoRAConfig())), folder)
    model = ASRModel(config)
    train_adapters(model)
    with torch.no_grad():  # as sure of what it writes as a trained one
        model.projector.down.weight.normal_(std=0.5)
    model.save_pretrained(folder / "model", dtype=torch.float32)
    return folder / "model"


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transformers") / "exported"
    export_transformers(checkpoint, path, dtype=torch.float32)
    return path


def test_transformers_alone_gives_our_texts_times_and_batches(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    import soundfile

    waveforms = [noise(length, seed=length) for length in LENGTHS]
    for index, waveform in enumerate(waveforms):
        np.save(tmp_path / f"{index}.npy", waveform)
    soundfile.write(tmp_path / "0.wav", waveforms[0], 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "long.wav", np.concatenate([load_audio(path) for path in SPEECH] * 2), 16_000)
    recognizer = Recognizer.from_pretrained(checkpoint, dtype="float32", device="cpu", with_words=True)
    transcriber = Transcriber(recognizer)
    expected = transcriber.transcribe_batch(waveforms)
    long = transcriber.transcribe(tmp_path / "long.wav")
    assert all(transcript.words for transcript in expected)
    assert len(long.segments) > 1

    done = subprocess.run(
        [sys.executable, "-c", OUTSIDE, str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    texts = [transcript.text for transcript in expected]
    assert found["arrays"] == found["iterator"] == found["generated"] == texts
    assert found["path"] == found["bytes"] == {"text": texts[0]}
    assert found["words"]["chunks"] == [
        {"text": word.text, "timestamp": [word.start, word.end]} for word in expected[0].words
    ]
    assert found["long"]["text"] == long.text
    assert [chunk["timestamp"] for chunk in found["long"]["chunks"]] == [[s.start, s.end] for s in long.segments]
    assert not found["leaked"]


def test_the_folder_is_a_checkpoint_that_can_be_moved(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "moved")
    try:
        waveform = noise(32_000)
        texts = [
            Recognizer.from_pretrained(name, dtype="float32", device="cpu").transcribe_waveforms([waveform])[0]
            for name in (checkpoint, moved)
        ]
        assert texts[0] == texts[1]
        assert texts[0].draft
        assert read_config(moved).llm.source == str(moved / "./language_model")
    finally:
        moved.rename(folder)


def test_other_weights_than_the_exported_ones_are_refused(folder: Path) -> None:
    weights = folder / "language_model" / "model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    try:
        with pytest.raises(CheckpointError, match="have SHA-256"):
            Recognizer.from_pretrained(folder, device="cpu")
    finally:
        weights.write_bytes(original)


def test_bases_can_be_named_in_place_of_copies(checkpoint: Path, tmp_path: Path) -> None:
    export_transformers(checkpoint, tmp_path / "exported", reference_bases=True)

    assert not (tmp_path / "exported" / "language_model").exists()
    assert read_config(tmp_path / "exported") == read_config(checkpoint)
    assert read_config(checkpoint).llm.sha256


def test_a_ctc_model_of_its_own_is_refused(tmp_path: Path) -> None:
    from miniatures import save_encoder

    save_encoder(tmp_path / "aut", "aut")
    with pytest.raises(ExportError, match="is a CTC model of its own"):
        export_transformers(tmp_path / "aut", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
