"""Exercise 5, a CTC encoder from scratch: the sum over all alignments, and a recogniser for a whistled language.

Write the three functions, run the file, and read what it prints. 25 minutes; the run takes half a minute.
"""

import itertools

import numpy as np
import torch
from torch import Tensor
from tutor import Tutor

from tiny_audio.evaluation.wer import count_errors
from tiny_audio.models.ctc import collapse
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import AuTConfig
from tiny_audio.text.ctc_units import CTCUnits

tutor = Tutor(__file__)
STEPS, REPORT_EVERY, BATCH = 150, 25, 12
PITCHES = {"a": 400, "e": 650, "i": 1000, "o": 1500, "u": 2300}
"""The whistled language has five letters, each a pitch in Hz."""


@tutor.task
def brute_force(probs: Tensor, labels: list[int]) -> float:
    """Probability of the labels: the sum over all paths that collapse to them, of the product along each path.

    Args:
        probs: `(T, V)` probabilities of each frame, class 0 is the blank.
        labels: classes without blanks. `collapse(path, 0)` gives those of a path.
    """


@tutor.task
def forward_algorithm(probs: Tensor, labels: list[int]) -> float:
    """The same sum, with a table of T x (2 L + 1) in place of V^T paths (Graves et al. 2006).

    States are blank, label, blank, label, ..., blank. A state is reached from itself, from the one before, and from the
    one before that if the state is a label that differs from the previous label. The last two states are ends.
    """


@tutor.task
def longest_text(duration: float, frame_rate: float) -> int:
    """Characters, none of them doubled, that CTC can write in so many seconds; the last partial frame is lost."""


def whistle(text: str, rng: np.random.Generator) -> np.ndarray:
    """A tone of 0.12 to 0.2 s for each letter, a pause of 0.05 s behind it, some noise over all."""
    parts = []
    for letter in text:
        time = np.arange(int(rng.uniform(0.12, 0.2) * 16_000)) / 16_000
        parts += [rng.uniform(0.1, 0.4) * np.sin(2 * np.pi * PITCHES[letter] * time), np.zeros(800)]
    sound = np.concatenate(parts)
    return (sound + rng.normal(0, 0.01, len(sound))).astype(np.float32)


def main() -> list[dict[str, float]]:
    """Count alignments, then train; loss and character error rate on new words as training went on."""
    probs = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    paths = [path for path in itertools.product(range(3), repeat=6) if collapse(path, 0) == [1, 1, 2]]
    print(f"'1 1 2' in 6 frames: {len(paths)} of {3**6} paths, one is {' '.join(map(str, paths[0]))}")
    print(f"probability {brute_force(probs, [1, 1, 2]):.6f} = {forward_algorithm(probs, [1, 1, 2]):.6f}")
    print(
        f"10 s hold {longest_text(10, 12.5)} characters at 12.5 Hz, {longest_text(10, 25)} at 25; read English has 152"
    )

    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    units = CTCUnits.characters()
    sizes = AuTConfig(conv_channels=(32, 32, 48), num_layers=1, num_heads=2, ffn_dim=96, dropout=0.0)
    model = CTCModel(CTCConfig(encoder=sizes, head_upsample=2), units)  # 25 CTC frames a second
    print(f"\na recogniser with {sum(weights.numel() for weights in model.parameters()):,} parameters")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    tests = ["".join(rng.choice(list(PITCHES), 5)) for _ in range(20)]
    sounds = [whistle(text, rng) for text in tests]
    history = []
    for step in range(STEPS + 1):
        texts = ["".join(rng.choice(list(PITCHES), rng.integers(2, 6))) for _ in range(BATCH)]
        features = model.train().encoder.features([whistle(text, rng) for text in texts])
        loss = model.loss(*features, [units.encode(text) for text in texts])  # a label
        if step % REPORT_EVERY == 0:
            heard = [one.text for one in model.eval().transcribe_waveforms(sounds)]
            wrong = count_errors([" ".join(text) for text in tests], [" ".join(text) for text in heard], str).wer
            history.append({"step": step, "loss": loss.item(), "wrong": wrong})
            print(f"step {step:3}  loss {loss:6.3f}  letters wrong in new words {wrong:6.1%}  {tests[0]} → {heard[0]}")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return history


if __name__ == "__main__":
    main()
    tutor.report()
