"""`tiny-audio data label`: transcribe recordings that have no text with plain Whisper, and keep what can be trusted."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiny_audio.data.manifest import Utterance
    from tiny_audio.models.whisper_decoder import WhisperTranscriber

HELP = "write transcripts of recordings with a teacher model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("manifest", type=Path, help="JSON-lines manifest; its texts are ignored")
    parser.add_argument("-o", "--output", type=Path, required=True, help="manifest to write, with `text` filled in")
    parser.add_argument("--agree-field", metavar="FIELD", help="drop what disagrees with the text in this field")
    parser.add_argument(
        "--max-disagreement", type=float, default=0.15, help="word error rate against that text (default 0.15)"
    )
    parser.add_argument("--batch", type=int, default=8, help="utterances at once (default 8)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--exact", action="store_true", help="compute in float32 even where bfloat16 is faster")


def run(args: argparse.Namespace) -> int:
    """Label the manifest; dropped utterances go to `OUTPUT.dropped.jsonl` with the reason."""
    import torch
    from tqdm import tqdm

    from tiny_audio.data.manifest import read_manifest, write_manifest
    from tiny_audio.models.whisper_decoder import WhisperTranscriber

    if args.threads:
        torch.set_num_threads(args.threads)
    utterances = read_manifest(args.manifest)
    transcriber = WhisperTranscriber.from_cache()
    labelled: dict[str, Utterance] = {}
    # Neighbours of one length need about the same number of tokens, so no row waits for another.
    by_duration = sorted(utterances, key=lambda utterance: utterance.duration)
    with tqdm(total=len(utterances), unit="utt", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        for start in range(0, len(by_duration), args.batch):
            batch = by_duration[start : start + args.batch]
            labelled.update((utterance.id, utterance) for utterance in _label(batch, transcriber, fast=not args.exact))
            bar.update(len(batch))
    ordered = [labelled[utterance.id] for utterance in utterances]
    reasons = {utterance.id: _why_drop(utterance, args.agree_field, args.max_disagreement) for utterance in ordered}
    kept = [utterance for utterance in ordered if not reasons[utterance.id]]
    dropped = [_with_reason(utterance, reasons[utterance.id]) for utterance in ordered if reasons[utterance.id]]
    write_manifest(args.output, kept)
    dropped_path = args.output.with_suffix(".dropped.jsonl")
    write_manifest(dropped_path, dropped)
    print(f"{len(kept)} labelled in {args.output}, {len(dropped)} dropped in {dropped_path}", file=sys.stderr)
    return 0


def _label(batch: list["Utterance"], transcriber: "WhisperTranscriber", *, fast: bool) -> list["Utterance"]:
    """The utterances with the teacher's text; those whose audio cannot be used keep an empty one, and say why."""
    from dataclasses import replace

    from tiny_audio.audio.timebase import MAX_CHUNK
    from tiny_audio.data.recordings import load_waveform
    from tiny_audio.errors import AudioError

    usable, waveforms, refused = [], [], []
    for utterance in batch:
        try:
            if utterance.duration > MAX_CHUNK:
                raise AudioError(
                    f"{utterance.duration:.2f} s of audio; Whisper takes at most {MAX_CHUNK:.0f} s at once"
                )
            waveform = load_waveform(utterance)
        except AudioError as error:
            refused.append(_with_reason(replace(utterance, text=""), str(error)))
        else:
            usable.append(utterance)
            waveforms.append(waveform)
    texts = transcriber.transcribe(waveforms, fast=fast)
    return refused + [replace(utterance, text=text) for utterance, text in zip(usable, texts, strict=True)]


def _why_drop(utterance: "Utterance", agree_field: str | None, max_disagreement: float) -> str:
    """Why this label cannot be trusted; empty if it can."""
    from tiny_audio.evaluation.wer import count_errors

    if reason := utterance.extra.get("dropped"):
        return str(reason)
    if not utterance.text:
        return "empty text"
    if agree_field is None:
        return ""
    other = utterance.extra.get(agree_field)
    if not isinstance(other, str):
        return f"no text in field '{agree_field}'"
    wer = count_errors([other], [utterance.text]).wer
    return f"disagrees with '{agree_field}': word error rate {wer:.3f}" if wer > max_disagreement else ""


def _with_reason(utterance: "Utterance", reason: str) -> "Utterance":
    from dataclasses import replace

    return replace(utterance, extra={**utterance.extra, "dropped": reason})
