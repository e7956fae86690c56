"""A checkpoint with the language model's adapters of another one that was trained on from it.

    python take_language_model.py CHECKPOINT TRAINED OUTPUT_DIR

Stage `correct` trains all parts. Where that helps the language model and harms the projector, this takes the one alone.
"""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from tiny_audio.models.checkpoint import CONFIG_FILE, WEIGHTS_FILE

checkpoint, trained, output_dir = map(Path, sys.argv[1:4])
tensors, taken = load_file(checkpoint / WEIGHTS_FILE), load_file(trained / WEIGHTS_FILE)
for name in tensors:
    if name.startswith("lora."):
        tensors[name] = taken[name]
output_dir.mkdir(parents=True, exist_ok=True)
save_file(tensors, output_dir / WEIGHTS_FILE, metadata={"format": "pt"})
shutil.copy(checkpoint / CONFIG_FILE, output_dir / CONFIG_FILE)
