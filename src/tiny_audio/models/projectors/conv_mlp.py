"""The convolutional projector of the course's first class: a strided convolution, then two linear layers."""

from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.models.projectors.projector import NORM_EPS, Projector


class ConvMLPProjector(Projector):
    """Convolution of kernel 2k - 1 and stride k, then two linear layers of the LLM's width with GELU between; no bias.

    The course has k = 2: kernel 3, stride 2, padding 1. Its code has no norm; here each frame is divided by its root
    mean square first, which has no parameters, so that the loudness of the output does not depend on the encoder.
    """

    def __init__(self, *, encoder_dim: int, llm_dim: int, stack_factor: int = 2) -> None:
        super().__init__(encoder_dim=encoder_dim, llm_dim=llm_dim, stack_factor=stack_factor)
        # ceil(T / k) tokens for any k, and each of them is centred on a frame of the clip.
        self.conv = nn.Conv1d(
            encoder_dim,
            encoder_dim,
            kernel_size=2 * stack_factor - 1,
            stride=stack_factor,
            padding=stack_factor - 1,
            bias=False,
        )
        self.linear_1 = nn.Linear(encoder_dim, llm_dim, bias=False)
        self.linear_2 = nn.Linear(llm_dim, llm_dim, bias=False)

    @staticmethod
    def num_parameters(*, encoder_dim: int, llm_dim: int, stack_factor: int) -> int:
        """(2k - 1) * D^2 + D * E + E^2."""
        return (2 * stack_factor - 1) * encoder_dim**2 + encoder_dim * llm_dim + llm_dim**2

    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Frames to audio tokens; behind a row's end the convolution sees zeros, as it does behind the batch's."""
        normed_BTD = F.rms_norm(encoder_BTD, encoder_BTD.shape[-1:], eps=NORM_EPS)
        mixed_BAD = self.conv(normed_BTD.transpose(1, 2)).transpose(1, 2)
        return self.linear_2(F.gelu(self.linear_1(mixed_BAD)))

    def scale_output(self, factor: float) -> None:
        """In the last layer."""
        self.linear_2.weight.data *= factor
