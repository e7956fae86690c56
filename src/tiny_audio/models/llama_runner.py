"""A Llama forward pass for decoding: several utterances at once, each with a static cache and its own mask.

`transformers` runs a new cache and several dozen Python calls a layer, and pads a batch; with a model of this size that
costs more than the arithmetic. Here the new rows of all utterances are one matrix, without padding, and attention alone
looks at each utterance by itself.

Shapes: N new rows, P rows in a cache, E width, H heads, G key-value heads, d head width, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.models.int8 import Int8Linear

Linear = Callable[[Tensor], Tensor]


class KVCache:
    """Keys and values of one utterance; rows beyond `length` are free."""

    def __init__(
        self, *, num_layers: int, num_kv_heads: int, head_dim: int, capacity: int, device: torch.device
    ) -> None:
        shape = (num_layers, num_kv_heads, capacity, head_dim)
        self.keys, self.values = (torch.empty(shape, device=device) for _ in range(2))
        self.length = 0

    def reserve(self, num_rows: int) -> None:
        """Make room for that many more rows."""
        missing = self.length + num_rows - self.keys.shape[2]
        if missing > 0:
            grow = (0, 0, 0, max(missing, self.keys.shape[2] // 2))
            self.keys, self.values = F.pad(self.keys, grow), F.pad(self.values, grow)

    def copy(self) -> "KVCache":
        """The same rows, for whoever goes on from them in another way."""
        num_layers, num_kv_heads, _, head_dim = self.keys.shape
        other = KVCache(
            num_layers=num_layers,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            capacity=self.length,
            device=self.keys.device,
        )
        other.keys.copy_(self.keys[:, :, : self.length])
        other.values.copy_(self.values[:, :, : self.length])
        other.length = self.length
        return other

    def keep(self, num_first: int, rows: Sequence[int]) -> None:
        """Keep the first rows and, behind them, the given ones; forget the rest."""
        index = torch.tensor(rows, dtype=torch.long, device=self.keys.device)
        end = num_first + len(rows)
        if list(rows) != list(range(num_first, end)):
            self.keys[:, :, num_first:end] = self.keys[:, :, index]
            self.values[:, :, num_first:end] = self.values[:, :, index]
        self.length = end


@dataclass(frozen=True, kw_only=True)
class NewRows:
    """What to compute for one utterance."""

    cache: KVCache
    embeds_NE: Tensor
    positions_N: Tensor
    """In the sequence; a tree of continuations has several rows at one position."""
    mask_NP: Tensor | None = None
    """True where a row sees a row of the cache (the new ones included, at its end); None: causal."""
    is_exact: bool = True
    """Attention leaves no trace of what is computed at once; else in float32, faster."""


@dataclass(frozen=True, kw_only=True)
class _Layer:
    input_norm_E: Tensor
    qkv: Linear
    output: Linear
    mlp_norm_E: Tensor
    gate_up: Linear
    down: Linear


class LlamaRunner:
    """A plain Llama, ready to decode.

    Args:
        sizes: its `transformers` configuration.
        weight: a tensor by its name in a `LlamaForCausalLM`, adapters folded in; asked for one at a time.
        dtype: of the products: float32, bfloat16, or int8; everything between them is float32.
        table_VE: its embeddings, where they are in memory already.
    """

    def __init__(
        self,
        sizes: Mapping[str, Any],
        weight: Callable[[str], Tensor],
        *,
        dtype: torch.dtype,
        table_VE: Tensor | None = None,
    ) -> None:
        self.num_heads: int = sizes["num_attention_heads"]
        self.num_kv_heads: int = sizes.get("num_key_value_heads") or self.num_heads
        self.head_dim: int = sizes.get("head_dim") or sizes["hidden_size"] // self.num_heads
        self.eps: float = sizes["rms_norm_eps"]
        table = "model.embed_tokens.weight"
        self.table_VE = (weight(table) if table_VE is None else table_VE).detach()
        self.device = self.table_VE.device
        self.is_tied: bool = sizes["tie_word_embeddings"]
        """The output layer is the embedding table."""
        self.head = _linear(self.table_VE if self.is_tied else weight("lm_head.weight"), dtype=dtype)
        theta = rope_theta(sizes)
        exponents = torch.arange(0, self.head_dim, 2, device=self.device) / self.head_dim
        self._inverse_frequencies = 1.0 / theta**exponents
        self._norm_E = weight("model.norm.weight").detach().float()
        self._layers = []
        for index in range(sizes["num_hidden_layers"]):

            def of_layer(name: str, prefix: str = f"model.layers.{index}.") -> Tensor:
                return weight(f"{prefix}{name}.weight").detach().float()

            self._layers.append(
                _Layer(
                    input_norm_E=of_layer("input_layernorm"),
                    qkv=_linear(*(of_layer(f"self_attn.{name}_proj") for name in "qkv"), dtype=dtype),
                    output=_linear(of_layer("self_attn.o_proj"), dtype=dtype),
                    mlp_norm_E=of_layer("post_attention_layernorm"),
                    gate_up=_linear(of_layer("mlp.gate_proj"), of_layer("mlp.up_proj"), dtype=dtype),
                    down=_linear(of_layer("mlp.down_proj"), dtype=dtype),
                )
            )

    @classmethod
    def from_llm(cls, llm: Any, *, dtype: torch.dtype) -> "LlamaRunner":
        """Take the weights of a `LlamaForCausalLM`, with or without adapters."""

        def weight(name: str) -> Tensor:
            # Of an adapted layer, this is the weight with its adapter.
            return llm.get_submodule(name.removesuffix(".weight")).weight  # type: ignore[no-any-return]

        return cls(llm.config.to_dict(), weight, dtype=dtype, table_VE=llm.get_input_embeddings().weight)

    @staticmethod
    def supports(sizes: Mapping[str, Any]) -> bool:
        """Whether it is a plain Llama: no biases, no scaled positions."""
        rope = sizes.get("rope_parameters") or sizes.get("rope_scaling") or {}
        return (
            sizes.get("model_type") == "llama"
            and not sizes.get("attention_bias")
            and not sizes.get("mlp_bias")
            and sizes.get("hidden_act", "silu") == "silu"
            and rope.get("rope_type", "default") == "default"
        )

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache."""
        return KVCache(
            num_layers=len(self._layers),
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            capacity=capacity,
            device=self.device,
        )

    def forward(self, utterances: Sequence[NewRows]) -> list[Tensor]:
        """Final hidden states `(N, E)` of each utterance's new rows, which are in its cache afterwards."""
        sizes = [len(rows.embeds_NE) for rows in utterances]
        hidden_NE = torch.cat([rows.embeds_NE for rows in utterances]).float()
        positions_N = torch.cat([rows.positions_N for rows in utterances]).to(self.device)
        angles_Nd = positions_N[:, None] * self._inverse_frequencies
        angles_N1d = torch.cat([angles_Nd, angles_Nd], dim=1)[:, None]
        cos_N1d, sin_N1d = angles_N1d.cos(), angles_N1d.sin()
        masks = [_additive_mask(rows) for rows in utterances]
        for rows, size in zip(utterances, sizes, strict=True):
            rows.cache.reserve(size)
        widths = [self.num_heads, self.num_kv_heads, self.num_kv_heads]
        for index, layer in enumerate(self._layers):
            normed_NE = _rms_norm(hidden_NE, layer.input_norm_E, self.eps)
            qkv = layer.qkv(normed_NE).unflatten(1, (-1, self.head_dim))
            query_NHd, key_NGd, value_NGd = qkv.split(widths, dim=1)
            query_NHd, key_NGd = _rotate(query_NHd, cos_N1d, sin_N1d), _rotate(key_NGd, cos_N1d, sin_N1d)
            mixed = []
            first = 0
            for rows, size, mask in zip(utterances, sizes, masks, strict=True):
                new = slice(first, first + size)
                mixed.append(self._attend(rows, index, query_NHd[new], key_NGd[new], value_NGd[new], mask))
                first += size
            hidden_NE = hidden_NE + layer.output(torch.cat(mixed) if len(mixed) > 1 else mixed[0])
            normed_NE = _rms_norm(hidden_NE, layer.mlp_norm_E, self.eps)
            gate, up = layer.gate_up(normed_NE).chunk(2, dim=1)
            hidden_NE = hidden_NE + layer.down(F.silu(gate).mul_(up))
        for rows, size in zip(utterances, sizes, strict=True):
            rows.cache.length += size
        return list(_rms_norm(hidden_NE, self._norm_E, self.eps).split(sizes))

    def _attend(
        self, rows: NewRows, layer: int, query_NHd: Tensor, key_NGd: Tensor, value_NGd: Tensor, mask: Tensor | None
    ) -> Tensor:
        cache = rows.cache
        end = cache.length + len(key_NGd)
        cache.keys[layer, :, cache.length : end] = key_NGd.transpose(0, 1)
        cache.values[layer, :, cache.length : end] = value_NGd.transpose(0, 1)
        keys_GPd, values_GPd = cache.keys[layer, :, :end], cache.values[layer, :, :end]
        if not rows.is_exact:
            query_HNd = query_NHd.transpose(0, 1)
            mixed_1HNd = F.scaled_dot_product_attention(
                query_HNd[None], keys_GPd[None], values_GPd[None], attn_mask=mask, enable_gqa=True
            )
            return mixed_1HNd[0].transpose(0, 1).flatten(1)
        # Sums in float64, rounded to float32: then their order, which depends on what is computed at once, leaves no
        # trace, and a draft is verified with the very numbers that plain decoding would have had. 8-bit rounding
        # downstream would turn a last bit into another word.
        # Heads that share keys are further rows of one product: nothing is repeated in memory.
        query_GRd = query_NHd.unflatten(1, (self.num_kv_heads, -1)).permute(1, 2, 0, 3).flatten(1, 2)
        scores_GRP = (query_GRd.double() @ keys_GPd.double().transpose(1, 2)).mul_(self.head_dim**-0.5).float()
        if mask is not None:
            scores_GRP.unflatten(1, (-1, len(mask))).add_(mask)
        weights_GRP = (scores_GRP - scores_GRP.amax(dim=2, keepdim=True)).exp_().double()
        mixed_GRd = ((weights_GRP @ values_GPd.double()) / weights_GRP.sum(dim=2, keepdim=True)).float()
        return mixed_GRd.unflatten(1, (-1, len(query_NHd))).permute(2, 0, 1, 3).flatten(1)


def _linear(*weights: Tensor, dtype: torch.dtype) -> Linear:
    """One layer for the concatenated outputs of several; from float32 to float32."""
    weight = torch.cat(weights).detach().float()
    if dtype == torch.int8:
        return Int8Linear(weight)
    if dtype == torch.float32:
        return lambda hidden: F.linear(hidden, weight)
    rounded = weight.to(dtype)
    return lambda hidden: F.linear(hidden.to(dtype), rounded).float()


def rope_theta(sizes: Mapping[str, Any]) -> float:
    """Base of the rotary positions, which configurations keep in two places."""
    return float((sizes.get("rope_parameters") or {}).get("rope_theta") or sizes.get("rope_theta") or 10_000.0)


def _rms_norm(hidden_NE: Tensor, weight_E: Tensor, eps: float) -> Tensor:
    """As `F.rms_norm`, which takes three times as long for a few rows on a CPU."""
    length_N1 = torch.linalg.vector_norm(hidden_NE, dim=1, keepdim=True)
    scale_N1 = length_N1.square_().mul_(1 / hidden_NE.shape[1]).add_(eps).rsqrt_()
    return (hidden_NE * scale_N1).mul_(weight_E)


def _rotate(heads_NHd: Tensor, cos_N1d: Tensor, sin_N1d: Tensor) -> Tensor:
    """Rotary positions (arXiv 2104.09864), halves interleaved as Llama does."""
    left, right = heads_NHd.chunk(2, dim=2)
    return heads_NHd * cos_N1d + torch.cat([-right, left], dim=2) * sin_N1d


def _additive_mask(rows: NewRows) -> Tensor | None:
    """`(N, P)`; 0 where a row sees, minus infinity where not."""
    num_new, end = len(rows.embeds_NE), rows.cache.length + len(rows.embeds_NE)
    mask_NP = rows.mask_NP
    if mask_NP is None:
        if num_new == 1:
            return None
        mask_NP = torch.ones(num_new, end, dtype=torch.bool).tril(rows.cache.length)
    return torch.zeros(num_new, end).masked_fill_(~mask_NP, -torch.inf).to(rows.embeds_NE.device)
