"""The SwiGLU projector of the course's classes 2 and 3; module names are theirs."""

from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.models.projectors.projector import NORM_EPS, Projector, root_mean_square, stack_frames


class SwiGLUProjector(Projector):
    """Stack k frames, RMSNorm, SwiGLU (arXiv 2002.05202), linear, RMSNorm; no bias.

    3 s through HuBERT: 149 frames of 1280 -> 150 -> 30 stacks of 6400 -> 30 audio tokens.
    The last norm has weight 1 in the course: 7 times as loud as the embeddings of SmolLM2-135M. `calibrate` mends it.
    """

    def __init__(self, *, encoder_dim: int, llm_dim: int, hidden_dim: int = 8192, stack_factor: int = 5) -> None:
        super().__init__(encoder_dim=encoder_dim, llm_dim=llm_dim, stack_factor=stack_factor)
        self.ln_pre = nn.RMSNorm(encoder_dim * stack_factor, eps=NORM_EPS)
        self.gate_proj = nn.Linear(encoder_dim * stack_factor, hidden_dim, bias=False)
        self.up_proj = nn.Linear(encoder_dim * stack_factor, hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, llm_dim, bias=False)
        self.ln_post = nn.RMSNorm(llm_dim, eps=NORM_EPS)
        for linear in (self.gate_proj, self.up_proj, self.down_proj):
            nn.init.normal_(linear.weight, std=0.02)

    @staticmethod
    def num_parameters(*, encoder_dim: int, llm_dim: int, hidden_dim: int, stack_factor: int) -> int:
        """K + 2 * K * hidden + hidden * E + E."""
        stacked_dim = encoder_dim * stack_factor
        return stacked_dim + 2 * stacked_dim * hidden_dim + hidden_dim * llm_dim + llm_dim

    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Frames to audio tokens."""
        normed_BAK = self.ln_pre(stack_frames(encoder_BTD, self.stack_factor))
        gated_BAH = F.silu(self.gate_proj(normed_BAK)) * self.up_proj(normed_BAK)
        return self.ln_post(self.down_proj(gated_BAH))

    def output_rms(self) -> float:
        """The last norm decides alone."""
        return root_mean_square(self.ln_post.weight)

    def scale_output(self, factor: float) -> None:
        """In the last norm."""
        self.ln_post.weight.data *= factor
