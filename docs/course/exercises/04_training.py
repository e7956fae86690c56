"""Exercise 4, training: an aligned projector from nothing, on four sentences, and what it has not learned.

Write the three functions, run the file, and read what it prints. 25 minutes; the run takes half a minute.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from tutor import Tutor

import tiny_audio
from tiny_audio.data.manifest import read_manifest
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.explain.loading import load_projector_model
from tiny_audio.explain.samples import samples_folder
from tiny_audio.models.projectors.conv_blocks import ConvBlocksProjector
from tiny_audio.text.prompts import encode_transcript

tutor = Tutor(__file__)
STEPS, REPORT_EVERY = 30, 5


@tutor.task
def ctc_logits(tokens: Tensor, blank: Tensor, table: Tensor) -> Tensor:
    """Logits `(A, 1 + V)` of the blank `(A,)`, first, and of all tokens: projector output `(A, E)` times `(V, E)`."""


@tutor.task
def collapse(path: list[int]) -> list[int]:
    """The labels of a path with a class a frame: equal neighbours merge, then blanks, class 0, go."""


@tutor.task
def frames_needed(labels: list[int]) -> int:
    """Frames without which CTC cannot write the labels: one each, and a blank between equal neighbours."""


def main() -> list[dict[str, float]]:
    """Train on four clips, test on the fifth; loss and word error rates as training went on."""
    model = load_projector_model("tiny-audio-base")  # of which the encoder and the embedding table are used
    clips = read_manifest(samples_folder() / "manifest.jsonl")
    with torch.inference_mode():
        frames = [model.encode(tiny_audio.load_audio(clip.audio))[0] for clip in clips]
    frames = [clip.clone() for clip in frames]
    # A small vocabulary keeps this quick: the tokens of the five texts, out of 49,152.
    texts = [encode_transcript(model.tokenizer, clip.text) for clip in clips]
    vocabulary = sorted({token for text in texts for token in text})
    labels = [[1 + vocabulary.index(token) for token in text] for text in texts]
    table = model.table_VE[vocabulary].clone()
    torch.manual_seed(0)
    projector = ConvBlocksProjector(
        encoder_dim=model.config.encoder_dim, llm_dim=model.config.llm_dim, hidden_dim=256, num_blocks=1, dropout=0.0
    )
    for row, clip in zip(labels, frames, strict=True):
        print(f"{frames_needed(row)} frames needed, {-(-len(clip) // projector.stack_factor)} there")

    optimizer = torch.optim.AdamW(projector.parameters(), lr=2e-3)
    history = []
    for step in range(STEPS + 1):
        losses, texts = [], []
        for clip, row in zip(frames, labels, strict=True):
            tokens, blank, _ = projector(clip[None])
            logits = ctc_logits(tokens[0], blank[0], table)
            log_probs = logits.log_softmax(dim=-1)[:, None]  # (A, 1, 1 + V), as PyTorch wants it
            lengths = torch.tensor([len(log_probs)]), torch.tensor([len(row)])
            losses.append(F.ctc_loss(log_probs, torch.tensor([row]), *lengths, blank=0))
            ids = [vocabulary[label - 1] for label in collapse(logits.argmax(dim=-1).tolist())]
            texts.append(model.tokenizer.decode(ids))
        loss = torch.stack(losses[:4]).mean()
        if step % REPORT_EVERY == 0:
            rates = [count_errors([clip.text], [text]).wer for clip, text in zip(clips, texts, strict=True)]
            seen = sum(rates[:4]) / 4
            history.append({"step": step, "loss": loss.item(), "seen": seen, "new": rates[4]})
            print(f"step {step:3}  loss {loss:6.3f}  WER of the four {seen:7.1%}, of the fifth {rates[4]:7.1%}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"\nThe fifth was said:      {clips[4].text}\nThe four's model hears:  {texts[4]}")
    shipped = tiny_audio.load_model(mode="fast").transcribe(clips[4].audio).text
    print(f"The shipped model hears: {shipped}")
    return history


if __name__ == "__main__":
    main()
    tutor.report()
