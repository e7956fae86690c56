"""The multilayer perceptron projector."""

from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.models.projectors.projector import NORM_EPS, Projector, stack_frames


class MLPProjector(Projector):
    """Stack frames, RMSNorm, two linear layers without bias and GELU between them.

    A 30 s clip: 1500 encoder frames at 50 Hz -> 375 audio tokens at 12.5 Hz for `stack_factor` 4.
    """

    def __init__(self, *, encoder_dim: int, llm_dim: int, hidden_dim: int = 1024, stack_factor: int = 4) -> None:
        super().__init__(encoder_dim=encoder_dim, llm_dim=llm_dim, stack_factor=stack_factor)
        self.ln_pre = nn.RMSNorm(encoder_dim * stack_factor, eps=NORM_EPS)
        self.linear_1 = nn.Linear(encoder_dim * stack_factor, hidden_dim, bias=False)
        self.linear_2 = nn.Linear(hidden_dim, llm_dim, bias=False)

    @staticmethod
    def num_parameters(*, encoder_dim: int, llm_dim: int, hidden_dim: int, stack_factor: int) -> int:
        """K + K * hidden + hidden * E."""
        stacked_dim = encoder_dim * stack_factor
        return stacked_dim + stacked_dim * hidden_dim + hidden_dim * llm_dim

    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Frames to audio tokens."""
        normed_BAK = self.ln_pre(stack_frames(encoder_BTD, self.stack_factor))
        return self.linear_2(F.gelu(self.linear_1(normed_BAK)))

    def scale_output(self, factor: float) -> None:
        """In the second layer."""
        self.linear_2.weight.data *= factor
