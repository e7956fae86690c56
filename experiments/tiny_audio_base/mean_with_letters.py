"""A part of the way from a checkpoint to one that was trained on from it and compares spellings too.

    python mean_with_letters.py BEFORE AFTER SHARE OUTPUT_DIR

`models.averaging` wants the same tensors on both sides; here the letters are there on one side only. What turns sound
into something to compare with them was zero before, so it is taken by the same share as all else; the letters have no
earlier state to go back to and stay as they were learnt.
"""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from tiny_audio.models.checkpoint import CONFIG_FILE, WEIGHTS_FILE

before, after, output_dir = (Path(sys.argv[index]) for index in (1, 2, 4))
share = float(sys.argv[3])
old, new = load_file(before / WEIGHTS_FILE), load_file(after / WEIGHTS_FILE)
mean = {}
for name, tensor in new.items():
    if name.startswith("projector.spelling."):
        mean[name] = tensor
    elif name in old:
        mean[name] = ((1 - share) * old[name].float() + share * tensor.float()).to(tensor.dtype)
    elif name.startswith("projector.sound."):
        mean[name] = (share * tensor.float()).to(tensor.dtype)
    else:
        sys.exit(f"found '{name}' in '{after}' only; expected the same checkpoint, trained on with spellings")
if missing := old.keys() - new.keys():
    sys.exit(f"found no '{min(missing)}' in '{after}'; expected all that '{before}' has")
output_dir.mkdir(parents=True, exist_ok=True)
save_file(mean, output_dir / WEIGHTS_FILE, metadata={"format": "pt"})
shutil.copy(after / CONFIG_FILE, output_dir / CONFIG_FILE)
