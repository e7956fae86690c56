"""What a number format changes inside the recogniser, where word errors are too few to tell.

    .venv/bin/python benchmarks/precision.py MANIFEST... [--dtype int8] [--limit 30]

Each clip is heard in float32 and in the other format. Prints, for every manifest, the relative error of the encoder's
output, the divergence (KL, in nats) of the CTC's posteriors and of the language model's next token, how much the score
of a candidate text moves, and how many texts come out differently. The language model's own error is measured on the
same input: the float32 audio embeddings and the reference text.

Shapes: A audio tokens, E LLM width, N predicted tokens, V vocabulary.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from tiny_audio.audio.timebase import MAX_CHUNK
from tiny_audio.data.manifest import read_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models.joint_decoding import choose_text, total_score
from tiny_audio.models.llama_runner import NewRows
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.text.prompts import encode_transcript
from tiny_audio.types import Waveform


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, nargs="+")
    parser.add_argument("--checkpoint", default="tiny-audio-base")
    parser.add_argument("--dtype", choices=("int8", "bfloat16"), default="int8")
    parser.add_argument("--limit", type=int, default=30, help="clips of each manifest, spread over it")
    args = parser.parse_args()
    exact, other = (
        Recognizer.from_pretrained(args.checkpoint, dtype=dtype, device="cpu") for dtype in ("float32", args.dtype)
    )
    print(f"float32 and {args.dtype} | encoder | KL of CTC | KL of next token | score moves by | texts differ")
    for path in args.manifest:
        short = [utterance for utterance in read_manifest(path) if utterance.text and utterance.duration <= MAX_CHUNK]
        clips = short[:: max(len(short) // args.limit, 1)][: args.limit]
        facts: dict[str, list[float]] = defaultdict(list)
        num_other_texts = 0
        for utterance in tqdm(clips, desc=str(path), leave=False, disable=None):
            waveform = load_waveform(utterance)
            for name, values in compare(exact, other, waveform, utterance.text).items():
                facts[name] += values
            left, right = (recognizer.transcribe_waveforms([waveform])[0].text for recognizer in (exact, other))
            num_other_texts += left != right
        mean = {name: sum(values) / len(values) for name, values in facts.items()}
        print(
            f"{path} | {mean['encoder']:.2%} | {mean['ctc']:.5f} | {mean['llm']:.5f} | {mean['score']:.3f} | "
            f"{num_other_texts} of {len(clips)}",
            flush=True,
        )


@torch.inference_mode()
def compare(exact: Recognizer, other: Recognizer, waveform: Waveform, reference: str) -> dict[str, list[float]]:
    """All differences for one clip; of the CTC one for each frame, of the language model one for each token."""
    encoded, encoded_other = (_encode(recognizer, waveform) for recognizer in (exact, other))
    facts = {"encoder": [float((encoded_other - encoded).norm() / encoded.norm())]}
    projected, projected_other = exact.projector(encoded), other.projector(encoded_other)
    facts["ctc"] = _divergence(_ctc_log_probs(exact, projected), _ctc_log_probs(other, projected_other)).tolist()
    heard, heard_other = exact._hear_ctc(projected), other._hear_ctc(projected_other)
    if heard.embeds_AE is None or heard_other.embeds_AE is None:
        return facts
    predicted, predicted_other = (
        _next_token_log_probs(recognizer, heard.embeds_AE, reference) for recognizer in (exact, other)
    )
    facts["llm"] = _divergence(predicted, predicted_other).tolist()
    scores, scores_other = exact._judge([heard])[0].scores, other._judge([heard_other])[0].scores
    decoding = exact.config.decoding
    best = choose_text(scores, decoding=decoding)

    def margin(candidates: dict, text: str) -> float:
        """How far a candidate lies behind the best: what all have in common decides nothing."""
        return total_score(text, candidates[text], decoding) - total_score(best, candidates[best], decoding)

    common = scores.keys() & scores_other.keys() - {best} if best in scores_other else set()
    facts["score"] = [abs(margin(scores, text) - margin(scores_other, text)) for text in common]
    return facts


def _encode(recognizer: Recognizer, waveform: Waveform) -> Tensor:
    assert recognizer.encoder is not None
    return recognizer.encoder(*recognizer.encoder.features([waveform])).last_hidden_state


def _ctc_log_probs(recognizer: Recognizer, projected: Projected) -> Tensor:
    """`(A, V + 1)`, the blank last."""
    logits_AV = projected.hidden_BAE[0] @ recognizer.ctc_table_VE.T
    return torch.cat([logits_AV, projected.blank_BA[0, :, None]], dim=1).log_softmax(dim=1)


def _next_token_log_probs(recognizer: Recognizer, audio_AE: Tensor, text: str) -> Tensor:
    """`(N, V)` behind the prompt and behind each token of the text."""
    runner = recognizer.runner
    assert runner is not None, "only plain Llamas have other formats"
    prompt_LE = recognizer._prompt.embed(audio_AE)
    token_ids = torch.tensor(encode_transcript(recognizer.tokenizer, text))
    rows_NE = torch.cat([prompt_LE, recognizer.table_VE[token_ids]])
    rows = NewRows(cache=runner.new_cache(len(rows_NE)), embeds_NE=rows_NE, positions_N=torch.arange(len(rows_NE)))
    (hidden_NE,) = runner.forward([rows])
    return runner.head(hidden_NE[len(prompt_LE) - 1 :]).log_softmax(dim=1)


def _divergence(log_probs_NV: Tensor, other_NV: Tensor) -> Tensor:
    return (log_probs_NV.exp() * (log_probs_NV - other_NV)).sum(dim=1)


if __name__ == "__main__":
    main()
