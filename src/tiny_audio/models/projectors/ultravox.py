"""The projector of Ultravox v0.5 and later, which llama.cpp and vLLM can run behind a Whisper encoder.

Module names are vLLM's, and each tensor is one of llama.cpp's (`GGUF_NAMES`): an export only renames.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.errors import ConfigError
from tiny_audio.models.projectors.projector import NORM_EPS, Projector, stack_frames

GGUF_NAMES = {
    "ln_pre.weight": "mm.a.norm_pre.weight",
    "linear_1.weight": "mm.a.mlp.1.weight",
    "ln_mid.weight": "mm.a.norm_mid.weight",
    "linear_2.weight": "mm.a.mlp.2.weight",
}


class UltravoxProjector(Projector):
    """Stack frames, RMSNorm, linear, SwiGLU, RMSNorm, linear; no bias.

    Args:
        encoder_dim: D.
        llm_dim: E.
        hidden_dim: width before the SwiGLU, which halves it.
        stack_factor: encoder frames an audio token stands for.

    Raises:
        ConfigError: an odd `hidden_dim`.
    """

    def __init__(self, *, encoder_dim: int, llm_dim: int, hidden_dim: int = 4096, stack_factor: int = 8) -> None:
        super().__init__(encoder_dim=encoder_dim, llm_dim=llm_dim, stack_factor=stack_factor)
        if hidden_dim % 2:
            raise ConfigError([f"projector.hidden_dim is {hidden_dim}, but the SwiGLU halves it: choose an even one"])
        self.ln_pre = nn.RMSNorm(encoder_dim * stack_factor, eps=NORM_EPS)
        self.linear_1 = nn.Linear(encoder_dim * stack_factor, hidden_dim, bias=False)
        self.ln_mid = nn.RMSNorm(hidden_dim // 2, eps=NORM_EPS)
        self.linear_2 = nn.Linear(hidden_dim // 2, llm_dim, bias=False)

    @staticmethod
    def num_parameters(*, encoder_dim: int, llm_dim: int, hidden_dim: int, stack_factor: int) -> int:
        """K + K * hidden + hidden / 2 + hidden / 2 * E."""
        stacked_dim, half_dim = encoder_dim * stack_factor, hidden_dim // 2
        return stacked_dim + stacked_dim * hidden_dim + half_dim + half_dim * llm_dim

    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Frames to audio tokens."""
        stacked_BAK = stack_frames(encoder_BTD, self.stack_factor)
        # The second half is the gate; most SwiGLUs have it first.
        value_BAH, gate_BAH = self.linear_1(self.ln_pre(stacked_BAK)).chunk(2, dim=-1)
        return self.linear_2(self.ln_mid(F.silu(gate_BAH) * value_BAH))

    def scale_output(self, factor: float) -> None:
        """In the second layer."""
        self.linear_2.weight.data *= factor
