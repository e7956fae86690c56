"""A matrix in 8 bits comes back within half a step, all else as it was, and a checkpoint does not notice."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_audio.errors import CheckpointError
from tiny_audio.models.stored_tensors import read_stored_tensors, write_tensors


def test_matrices_are_within_half_a_step_of_their_rows_and_the_rest_is_float16(tmp_path: Path):
    torch.manual_seed(0)
    tensors = {
        "matrix": torch.randn(64, 100) * torch.logspace(-3, 3, 64)[:, None],
        "convolution": torch.randn(32, 16, 9),
        "zeros": torch.zeros(64, 64),
        "small": torch.randn(4, 4),
        "vector": torch.randn(10_000),
        "words": torch.arange(256, dtype=torch.uint8),
    }
    write_tensors(tmp_path / "x.safetensors", tensors, dtype=torch.int8)
    stored, found = load_file(tmp_path / "x.safetensors"), read_stored_tensors(tmp_path / "x.safetensors")
    assert found.keys() == tensors.keys()
    assert {name for name, tensor in stored.items() if tensor.dtype == torch.int8} == {"matrix", "convolution", "zeros"}
    for name in ("matrix", "convolution", "zeros"):
        wanted, rows = tensors[name].flatten(1), found[name].float().flatten(1)
        step = wanted.abs().amax(dim=1, keepdim=True) / 127
        assert found[name].dtype == torch.float16
        assert ((rows - wanted).abs() <= 0.5 * step + wanted.abs() * 2**-10 + 1e-7).all()
    for name in ("small", "vector"):
        assert torch.equal(found[name], tensors[name].half())
    assert torch.equal(found["words"], tensors["words"])


def test_other_formats_are_kept_and_whole_numbers_in_each(tmp_path: Path):
    tensors = {"a": torch.randn(100, 100), "n": torch.tensor([1, 255], dtype=torch.uint8)}
    write_tensors(tmp_path / "x.safetensors", tensors, dtype=torch.float32)
    found = read_stored_tensors(tmp_path / "x.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_a_factor_without_its_matrix_is_refused(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    for tensors in (
        {"a.scale": torch.ones(3)},
        {"a": torch.ones(3, 3), "a.scale": torch.ones(3)},
        {"a": torch.ones(3, 3, dtype=torch.int8), "a.scale": torch.ones(2)},
    ):
        save_file(tensors, path)
        with pytest.raises(CheckpointError, match=r"'a\.scale' without"):
            read_stored_tensors(path)
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="cannot read"):
        read_stored_tensors(path)
