"""Exercise 3, the projector and the modality gap: read audio tokens as if they were words.

Write the three functions, run the file, and read what it prints. 20 minutes; the run takes some seconds.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from tutor import Tutor

import tiny_audio
from tiny_audio.explain.loading import load_projector_model
from tiny_audio.explain.samples import samples_folder
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.text.prompts import encode_transcript

tutor = Tutor(__file__)
TEXT = "printing then for our purpose may be considered as the art of making books by means of movable types."


@tutor.task
def stack(frames: Tensor, factor: int) -> Tensor:
    """Frames `(T, D)` -> `(ceil(T / factor), factor * D)`: neighbours side by side, zeros behind the last ones."""


@tutor.task
def nearest_tokens(vectors: Tensor, table: Tensor) -> Tensor:
    """For each vector `(A, E)` the token whose embedding in the table `(V, E)` has the highest cosine."""


@tutor.task
def swiglu_parameters(encoder_dim: int, llm_dim: int, hidden_dim: int, factor: int) -> int:
    """Parameters of RMSNorm, gate, up, down and RMSNorm, no biases: the projector of the older course."""


def main() -> dict[str, float]:
    """Read the projector's output, trained and untrained; the share of the text's tokens that is found in each."""
    model = load_projector_model("tiny-audio-base")
    waveform = tiny_audio.load_audio(samples_folder() / "LJ001-0009.flac")
    with torch.inference_mode():
        frames = model.encode(waveform)
    factor = model.config.audio_downsample_rate
    print(f"encoder {tuple(frames.shape[1:])} -> stacked {tuple(stack(frames[0], factor).shape)}")
    print(f"a SwiGLU for 1280D to 4096D, 8192 inside, stacks of 5: {swiglu_parameters(1280, 4096, 8192, 5):,}")

    torch.manual_seed(0)
    new = build_projector(model.config.projector, encoder_dim=model.config.encoder_dim, llm_dim=model.config.llm_dim)
    # Each row: the token's embedding in the language model, and one made from its letters.
    table, width = model.ctc_table_VE, model.table_VE.shape[1]
    said = set(encode_transcript(model.tokenizer, TEXT))
    shares = {}
    for name, projector in (("trained", model.projector), ("new", new.eval())):
        with torch.inference_mode():
            tokens, blank, _ = projector(frames)
        ids = nearest_tokens(tokens[0], table)
        speaks = (tokens[0] @ table.T).amax(dim=1) > blank[0]
        shares[name] = len(said & set(ids.tolist())) / len(said)
        rms = tokens[..., :width].square().mean().sqrt()
        print(f"\n{name}: {tuple(tokens.shape[1:])}, root mean square of the first {width}: {rms:.3f}")
        print(
            f"  {shares[name]:.0%} of the text's tokens are nearest somewhere; not blank: {speaks.sum()} of {len(ids)}"
        )
        print("  " + "|".join(model.tokenizer.decode([token]) for token in ids[speaks].tolist()[:40]))
    rms = model.table_VE.square().mean().sqrt()
    print(f"\nembedding table of the language model: {tuple(model.table_VE.shape)}, root mean square {rms:.3f}")
    (knight,) = model.tokenizer.encode(" knight", add_special_tokens=False)
    for name, part in (("language model", table[:, :width]), ("letters", table[:, width:])):
        unit = F.normalize(part.float(), dim=1)
        nearest = (unit @ unit[knight]).topk(8).indices[1:]
        print(f"nearest to ' knight' by the {name}:" + "|".join(model.tokenizer.decode([token]) for token in nearest))
    return shares


if __name__ == "__main__":
    main()
    tutor.report()
