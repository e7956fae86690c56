"""The mixture-of-experts projector: one expert for every audio token, and two more that a router chooses.

Shapes: N real audio tokens of a batch, X routed experts.
"""

import torch
from torch import Tensor, nn

from tiny_audio.errors import ConfigError
from tiny_audio.models.projectors.projector import NORM_EPS, Projector, stack_frames, valid_positions

_CHOSEN = 2
_JITTER = 0.01
_BALANCE_WEIGHT = 0.01
_ROUTER_Z_WEIGHT = 1e-4


class MoEProjector(Projector):
    """Stack frames, RMSNorm, a shared expert plus the two likeliest routed ones, weighted by the router.

    An expert is two linear layers with bias and GELU between. In training `auxiliary_loss` keeps the experts equally
    busy and the router's logits small (the z-loss of arXiv 2202.08906).

    Raises:
        ConfigError: fewer than two experts.
    """

    def __init__(
        self, *, encoder_dim: int, llm_dim: int, hidden_dim: int = 1024, stack_factor: int = 4, num_experts: int = 4
    ) -> None:
        super().__init__(encoder_dim=encoder_dim, llm_dim=llm_dim, stack_factor=stack_factor)
        if num_experts < _CHOSEN:
            raise ConfigError(
                [f"projector.num_experts is {num_experts}, but each token goes to {_CHOSEN}: choose more"]
            )
        stacked_dim = encoder_dim * stack_factor
        self.ln_pre = nn.RMSNorm(stacked_dim, eps=NORM_EPS)
        self.router = nn.Linear(stacked_dim, num_experts, bias=False)
        self.shared_expert = _expert(stacked_dim, hidden_dim, llm_dim)
        self.experts = nn.ModuleList(_expert(stacked_dim, hidden_dim, llm_dim) for _ in range(num_experts))

    @staticmethod
    def num_parameters(
        *, encoder_dim: int, llm_dim: int, hidden_dim: int, stack_factor: int, num_experts: int = 4
    ) -> int:
        """K + K * X + (X + 1) * (K * hidden + hidden + hidden * E + E)."""
        stacked_dim = encoder_dim * stack_factor
        expert = stacked_dim * hidden_dim + hidden_dim + hidden_dim * llm_dim + llm_dim
        return stacked_dim + stacked_dim * num_experts + (num_experts + 1) * expert

    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Frames to audio tokens; what stands behind a row's end is not routed and gives zeros."""
        normed_BAK = self.ln_pre(stack_frames(encoder_BTD, self.stack_factor))
        is_real_BA = valid_positions(normed_BAK, self.output_lengths(lengths_B)).squeeze(-1)
        normed_NK = normed_BAK[is_real_BA]
        logits_NX = self._route(normed_NK)
        top = logits_NX.topk(_CHOSEN, dim=1)
        # The softmax over the chosen ones alone is the softmax over all, renormalised.
        weights_NX = torch.zeros_like(logits_NX).scatter(1, top.indices, top.values.softmax(dim=1))
        tokens_NE = self.shared_expert(normed_NK)
        for expert, weight_N in zip(self.experts, weights_NX.T, strict=True):
            (chosen,) = weight_N.nonzero(as_tuple=True)
            heard = expert(normed_NK[chosen]) * weight_N[chosen, None].to(tokens_NE)
            tokens_NE = tokens_NE.index_add(0, chosen, heard.to(tokens_NE))
        tokens_BAE = tokens_NE.new_zeros(*normed_BAK.shape[:2], self.llm_dim)
        return tokens_BAE.index_put(is_real_BA.nonzero(as_tuple=True), tokens_NE)

    def scale_output(self, factor: float) -> None:
        """In the last layer of each expert."""
        for expert in (self.shared_expert, *self.experts):
            last = expert[-1]
            last.weight.data *= factor
            last.bias.data *= factor

    def _route(self, normed_NK: Tensor) -> Tensor:
        """Router logits `(N, X)`; in training of slightly changed input, with the loss that they cause."""
        if not self.training:
            self.auxiliary_loss = None
            return self.router(normed_NK).float()
        jitter_NK = torch.empty_like(normed_NK).uniform_(1 - _JITTER, 1 + _JITTER)
        logits_NX = self.router(normed_NK * jitter_NK).float()
        mean_X = logits_NX.softmax(dim=1).mean(dim=0)
        balance = len(mean_X) * (mean_X - 1 / len(mean_X)).square().mean()
        router_z = logits_NX.logsumexp(dim=1).square().mean()
        self.auxiliary_loss = _BALANCE_WEIGHT * balance + _ROUTER_Z_WEIGHT * router_z
        return logits_NX


def _expert(stacked_dim: int, hidden_dim: int, llm_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(stacked_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, llm_dim))
