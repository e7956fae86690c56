"""What the language model adds: CTC draft, greedy language model, joint score over a grid of weights, oracle.

    .venv/bin/python benchmarks/decoding.py CHECKPOINT MANIFEST... [--limit 100]

The weights in a checkpoint's `config.json` are chosen with this on validation clips that are reported as such. Prints
WER of each way of deciding on the same clips, and the gain relative to the draft.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from tiny_audio.audio.timebase import MAX_CHUNK
from tiny_audio.data.manifest import read_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.evaluation.wer import ErrorCounts, count_errors
from tiny_audio.models.asr_model import ASRModel, audio_embeddings, frame_posteriors
from tiny_audio.models.ctc import ctc_loss, is_feasible
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.text.prompts import decode_transcript, encode_transcript

CTC_WEIGHTS = (0.0, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
CHECK = (0.5, 1.0)
WORD_BONUSES = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0)


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("manifest", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--beams", type=int, default=0, help="instead of the checkpoint's number")
    parser.add_argument("--greedy", action="store_true", help="also the language model's own greedy text (slow)")
    args = parser.parse_args()
    model = ASRModel.from_pretrained(args.checkpoint)
    assert model.speech_llm is not None, "a checkpoint of `correct` is needed"
    if args.beams:
        decoding = replace(model.config.decoding, num_beams=args.beams)
        model.config = replace(model.config, decoding=decoding)
    totals: dict[tuple[float, float], ErrorCounts] = {}
    for manifest in args.manifest:
        references, drafts, greedy, oracle = [], [], [], []
        scored: list[dict[str, tuple[float, float]]] = []
        with_greedy: list[dict[str, tuple[float, float]]] = []
        short = [utterance for utterance in read_manifest(manifest) if utterance.duration <= MAX_CHUNK]
        for utterance in tqdm(short[: args.limit or None], desc=str(manifest)):
            mel_BMF, mel_lengths_B = model.encoder.features([load_waveform(utterance)])
            lengths_B = model.encoder.mel_to_encoder_frames(mel_lengths_B)
            projected: Projected = model.projector(model.encoder(mel_BMF, mel_lengths_B), lengths_B)
            posteriors = frame_posteriors(projected.hidden_BAE[0], projected.blank_BA[0], model.table_VE)
            references.append(utterance.text)
            drafts.append(decode_transcript(model.tokenizer, posteriors.greedy_ids()))
            candidates = model.candidate_texts(posteriors)
            (embeds_AE,) = audio_embeddings(
                projected,
                model.projector.output_lengths(lengths_B),
                model.table_VE,
                blank_threshold=model.config.decoding.blank_threshold,
            )
            texts = list(candidates)
            scores = model.speech_llm.score(embeds_AE, [encode_transcript(model.tokenizer, text) for text in texts])
            scored.append({text: (score, candidates[text]) for text, score in zip(texts, scores, strict=True)})
            oracle.append(min(texts, key=lambda text: count_errors([utterance.text], [text]).errors))
            if args.greedy:
                ids = model.speech_llm.greedy_search(embeds_AE, max_tokens=len(embeds_AE) + 20)
                text = decode_transcript(model.tokenizer, ids)
                greedy.append(text)
                with_greedy.append(dict(scored[-1]))
                num_frames = model.projector.output_lengths(lengths_B)
                if text not in with_greedy[-1] and is_feasible(int(num_frames), ids):
                    loss = ctc_loss(projected.hidden_BAE, projected.blank_BA, num_frames, [ids], model.table_VE)
                    with_greedy[-1][text] = (model.speech_llm.score(embeds_AE, [ids])[0], -loss.item())
        draft = count_errors(references, drafts)
        best_possible = count_errors(references, oracle)
        print(f"{manifest}: {len(references)} clips, draft {draft.wer:.2%}, oracle {best_possible.wer:.2%}")
        if greedy:
            print(f"  greedy language model {count_errors(references, greedy).wer:.2%}")
            chosen = [choose(options, *CHECK) for options in with_greedy]
            print(f"  greedy text among the hypotheses, weights {CHECK}: {count_errors(references, chosen).wer:.2%}")
        for ctc_weight in CTC_WEIGHTS:
            row = []
            for bonus in WORD_BONUSES:
                chosen = [choose(options, ctc_weight, bonus) for options in scored]
                counts = count_errors(references, chosen)
                key = (ctc_weight, bonus)
                totals[key] = totals[key] + counts if key in totals else counts
                row.append(f"{counts.wer:.2%} ({counts.wer / max(draft.wer, 1e-9) - 1:+.0%})")
            print(f"  ctc_weight {ctc_weight:.1f}: " + "  ".join(row))
    best = min(totals, key=lambda key: totals[key].wer)
    print(f"best over all: ctc_weight {best[0]}, word_bonus {best[1]}: {totals[best].wer:.2%}")


def choose(options: dict[str, tuple[float, float]], ctc_weight: float, bonus: float) -> str:
    """The text with the highest joint score; options hold log p_LLM and log p_CTC."""
    return max(options, key=lambda text: options[text][0] + ctc_weight * options[text][1] + bonus * len(text.split()))


if __name__ == "__main__":
    main()
