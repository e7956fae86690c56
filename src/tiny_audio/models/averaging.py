"""Weighted means of checkpoints of one architecture: often better than each of them (arXiv 2203.05482, 2109.01903)."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from tiny_audio.models.checkpoint import WEIGHTS_FILE, checkpoint_folder
from tiny_audio.models.state_check import check_state
from tiny_audio.models.stored_tensors import read_stored_tensors


def average_checkpoints(shares: Mapping[str | Path, float], folder: Path) -> None:
    """Write the checkpoint whose tensors are the sum of `share * tensor`; all else is that of the last one.

    That includes tensors of whole numbers, such as a list of words, which may differ in size.

    Args:
        shares: folder or shipped model -> its weight; they add up to 1.
        folder: where it goes; it appears whole or not at all.

    Raises:
        CheckpointError: one is unreadable, or they are of different architectures.
    """
    assert abs(sum(shares.values()) - 1.0) < 1e-6
    mean: dict[str, torch.Tensor] = {}
    source = Path()
    for name, share in shares.items():
        source = checkpoint_folder(name)
        state = read_stored_tensors(source / WEIGHTS_FILE)
        parts = {key: share * tensor.float() for key, tensor in state.items() if tensor.is_floating_point()}
        if mean:
            check_state(parts, mean, source=f"'{source}'")
        mean = {key: mean[key] + part if key in mean else part for key, part in parts.items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".averaging-") as temporary:
        whole = Path(temporary) / "checkpoint"
        shutil.copytree(source, whole, ignore=shutil.ignore_patterns(WEIGHTS_FILE))
        rounded = {key: tensor.to(state[key].dtype).contiguous() for key, tensor in (state | mean).items()}
        save_file(rounded, whole / WEIGHTS_FILE, metadata={"format": "pt"})
        shutil.rmtree(folder, ignore_errors=True)
        whole.rename(folder)
