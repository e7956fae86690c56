"""The linear projector: the least that can join two widths."""

from torch import Tensor, nn

from tiny_audio.models.projectors.projector import NORM_EPS, Projector, stack_frames


class LinearProjector(Projector):
    """Stack frames, RMSNorm, one linear layer without bias."""

    def __init__(self, *, encoder_dim: int, llm_dim: int, stack_factor: int = 4) -> None:
        super().__init__(encoder_dim=encoder_dim, llm_dim=llm_dim, stack_factor=stack_factor)
        self.ln_pre = nn.RMSNorm(encoder_dim * stack_factor, eps=NORM_EPS)
        self.linear = nn.Linear(encoder_dim * stack_factor, llm_dim, bias=False)

    @staticmethod
    def num_parameters(*, encoder_dim: int, llm_dim: int, stack_factor: int) -> int:
        """K + K * E."""
        stacked_dim = encoder_dim * stack_factor
        return stacked_dim + stacked_dim * llm_dim

    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Frames to audio tokens."""
        return self.linear(self.ln_pre(stack_frames(encoder_BTD, self.stack_factor)))

    def scale_output(self, factor: float) -> None:
        """In the linear layer."""
        self.linear.weight.data *= factor
