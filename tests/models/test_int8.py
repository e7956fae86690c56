"""8-bit products: close to float32 whatever the loudness of channels, and every row as if it were alone."""

import pytest
import torch
from torch import Tensor, nn

from tiny_audio.models import int8
from tiny_audio.models.int8 import Int8Linear, quantize_linears
from tiny_audio.models.lora import LoRALinear

pytestmark = pytest.mark.skipif(not int8.is_supported(), reason="no 8-bit products on this CPU")


def rows(num_rows: int, width: int, *, loudest: float = 1.0) -> Tensor:
    """Noise, with one channel louder than the others."""
    hidden = torch.randn(num_rows, width, generator=torch.Generator().manual_seed(num_rows))
    hidden[:, width // 3] *= loudest
    return hidden


def relative_error(layer: nn.Linear, hidden: Tensor) -> float:
    expected = layer(hidden)
    return float((Int8Linear(layer.weight, layer.bias)(hidden) - expected).norm() / expected.norm())


@pytest.mark.parametrize("width", [576, 512, 96, 36, 7])  # mixed in blocks of 32, 32, 32, 4 and 1
@torch.no_grad()
def test_the_product_is_that_of_the_float_layer_give_or_take_two_percent(width: int) -> None:
    torch.manual_seed(0)
    assert 0 < relative_error(nn.Linear(width, 80), rows(50, width)) < 0.02


@torch.no_grad()
@pytest.mark.parametrize("loudest", [1.0, 300.0])
@torch.no_grad()
def test_a_row_is_the_same_alone_and_among_others_to_the_last_bit(loudest: float) -> None:
    torch.manual_seed(0)
    layer = Int8Linear(torch.randn(64, 1536), torch.randn(64))
    hidden = rows(70, 1536, loudest=loudest)
    together = layer(hidden)
    assert torch.equal(together, torch.cat([layer(row) for row in hidden.split(1)]))
    assert torch.equal(together, torch.cat([layer(part) for part in hidden.split([3, 1, 17, 49])]))
    assert torch.equal(together.view(2, 35, 64), layer(hidden.view(2, 35, 1536)))


@torch.no_grad()
def test_silence_is_the_bias() -> None:
    bias = torch.randn(8)
    assert torch.equal(Int8Linear(torch.randn(8, 64), bias)(torch.zeros(2, 3, 64)), bias.expand(2, 3, 8))


@torch.no_grad()
def test_all_linear_layers_are_replaced_and_adapters_folded_in() -> None:
    torch.manual_seed(0)
    adapted = LoRALinear(nn.Linear(64, 64), rank=2, alpha=4.0)
    for parameter in adapted.parameters():
        nn.init.normal_(parameter)
    model = nn.Sequential(nn.Linear(64, 64), nn.Sequential(nn.GELU(), adapted))
    hidden = rows(9, 64)
    expected = model(hidden)
    quantize_linears(model)
    assert [type(module) for module in model.modules() if isinstance(module, nn.Linear | LoRALinear)] == []
    assert (model(hidden) - expected).norm() < 0.03 * expected.norm()
