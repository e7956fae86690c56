"""What the course's chapters say about parameter counts, beside which `show params --as-seed` puts the true ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A number of a chapter."""

    said: str
    reason: str
    """Why the true number is another, or that it is the same."""


CHAPTER_CLAIMS: Mapping[str, Mapping[str, Sequence[Claim]]] = {
    "hubert_xlarge_swiglu_qwen3_8b": {
        "encoder": (
            Claim(
                said="1,267,200,000 total, 1,966,080 trainable (0.16 %)",
                reason="HuBERT-XLarge has 48 layers of width 1280, 962,497,408 parameters. The trainable number is "
                "right, and needs 48 layers: with the chapter's 24 it would be 983,040.",
            ),
        ),
        "projector": (
            Claim(
                said="121,643,264",
                reason="That is for a language model of width 2048. Qwen3-8B is 4096 wide: "
                "2 * 6400 * 8192 + 8192 * 4096 + 6400 + 4096 = 138,422,528.",
            ),
        ),
        "decoder": (
            Claim(
                said="8,000,000,000 total, 15,335,424 trainable (0.19 %)",
                reason="Qwen3-8B has 36 layers of width 4096. Rank 64 on its queries and values is 30,670,848; "
                "15,335,424 is rank 32 there, or rank 64 on SmolLM3-3B.",
            ),
        ),
        "overall": (
            Claim(
                said="9,388,843,264 total, 138,944,768 trainable (1.48 %)",
                reason="The chapter adds up its own rows correctly; the rows differ as said above.",
            ),
        ),
    },
    "whisper_turbo_conv_smollm3": {
        "encoder": (
            Claim(
                said="about 809M", reason="809 M is the whole turbo model with its decoder; only the encoder is used."
            ),
        ),
        "projector": (
            Claim(
                said="about 12M",
                reason="Right: 3 * 1280 * 1280 + 1280 * 2048 + 2048 * 2048 = 11,730,944. "
                "It halves the frames; the chapter's factor 4 counts from the mel frames.",
            ),
        ),
        "decoder": (Claim(said="about 3B", reason="Right: SmolLM3-3B."),),
    },
    "whisper_stack5_smollm3": {
        "projector": (
            Claim(
                said="output of width 1536",
                reason="SmolLM3-3B is 2048 wide, so 2 * 6400 * 8192 + 8192 * 2048 + 6400 + 2048 = 121,643,264.",
            ),
        ),
    },
    "aut_tiny_ctc": {
        "encoder": (
            Claim(
                said="convolutions about 500K, transformer about 9M, total about 2.05M",
                reason="The parts would add up to 9.55M. True: 205,184 + 1,777,920 + 192 for the last norm.",
            ),
        ),
        "overall": (
            Claim(
                said="about 2.05M (its checklist says about 10.5M)",
                reason="True for the chapter's shape: 1,983,296 + 192 * 256 of its projector = 2,032,448. "
                "Here a CTC head stands in the projector's place.",
            ),
        ),
    },
}
