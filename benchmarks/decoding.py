"""What the language model adds: CTC draft, language model alone, both together over a grid of weights, oracle.

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
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.joint_decoding import CandidateScores, choose_text

CTC_WEIGHTS = (0.0, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5)
TEXT_WEIGHTS = (0.0, 0.3, 0.6, 0.9, 1.2)


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("manifest", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--beams", type=int, default=0, help="instead of the checkpoint's number")
    args = parser.parse_args()
    model = ASRModel.from_pretrained(args.checkpoint)
    assert model.speech_llm is not None, "a checkpoint of `correct` is needed"
    if args.beams:
        model.config = replace(model.config, decoding=replace(model.config.decoding, num_beams=args.beams))
    recognizer = Recognizer(model)
    totals: dict[tuple[float, float], ErrorCounts] = {}
    for manifest in args.manifest:
        references, drafts, oracle = [], [], []
        scored: list[dict[str, CandidateScores]] = []
        of_one: list[dict[str, CandidateScores]] = []
        short = [utterance for utterance in read_manifest(manifest) if utterance.duration <= MAX_CHUNK]
        for utterance in tqdm(short[: args.limit or None], desc=str(manifest), disable=None):
            references.append(utterance.text)
            considered = recognizer.consider(load_waveform(utterance))
            drafts.append(considered.draft)
            silence = {considered.draft: CandidateScores(llm=0.0, ctc=0.0)}  # where there is nothing to decide
            scored.append(dict(considered.scores) or silence)
            of_one.append(dict(considered.estimated) or silence)
            oracle.append(min(scored[-1], key=lambda text: count_errors([utterance.text], [text]).errors))
        draft, best_possible = count_errors(references, drafts), count_errors(references, oracle)
        print(f"{manifest}: {len(references)} clips, draft {draft.wer:.2%}, oracle {best_possible.wer:.2%}")
        decoding = model.config.decoding
        one_change = [choose_text(options, decoding=decoding) for options in of_one]
        print(f"  the CTC's best text, or one change of it: {count_errors(references, one_change).wer:.2%}")
        print(f"  all candidates; columns: text_weight {TEXT_WEIGHTS}")
        for ctc_weight in CTC_WEIGHTS:
            row = []
            for text_weight in TEXT_WEIGHTS:
                tried = replace(decoding, ctc_weight=ctc_weight, text_weight=text_weight)
                counts = count_errors(references, [choose_text(options, decoding=tried) for options in scored])
                key = (ctc_weight, text_weight)
                totals[key] = totals[key] + counts if key in totals else counts
                row.append(f"{counts.wer:.2%} ({counts.wer / max(draft.wer, 1e-9) - 1:+.0%})")
            print(f"  ctc_weight {ctc_weight:.2f}: " + "  ".join(row))
    best = min(totals, key=lambda key: totals[key].wer)
    print(f"best over all: ctc_weight {best[0]}, text_weight {best[1]}: {totals[best].wer:.2%}")


if __name__ == "__main__":
    main()
