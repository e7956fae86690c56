"""Training, ours and the plain Hugging Face Trainer: the same model, recordings and precision, in the same run.

    .venv/bin/python benchmarks/training.py [MANIFEST] [--steps 12] [--rounds 3] [--threads 2] [--stages align correct]

What the peer is: `transformers.Trainer` with its defaults and what one writes for it by hand. A data set that reads a
recording, a collator that pads a batch to its longest, and a module of the same encoder, projector and language model
that computes the CTC over the whole vocabulary (`torch.nn.functional.ctc_loss`) and the language model's loss from
`inputs_embeds` and padded labels. It runs the whole encoder in every step. Ours trains on the feature cache, which is
filled before the clock starts; the time that took is printed. Both hear about the same audio in a step, with the same
optimizer, on the same threads, in bfloat16 where the CPU multiplies it fast.

Ours and the peer take turns for some rounds; the median of the rounds counts. The last line is PASS if `align` is at
least 3 times and `correct` at least 1.5 times as fast as the peer, else FAIL and exit code 1.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from tiny_audio.data.manifest import Utterance, read_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.replay import replay_utterances
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_trained_state, read_checkpoint, trained_state
from tiny_audio.models.encoders.build import build_frozen_part, stored_meta
from tiny_audio.models.modules import build_modules
from tiny_audio.recipes import build_recipe
from tiny_audio.text.prompts import encode_transcript
from tiny_audio.training.config import TrainConfig
from tiny_audio.training.feature_extraction import cache_features
from tiny_audio.training.loop import train
from tiny_audio.training.observer import Observer
from tiny_audio.training.precision import compute_dtype

BARS = {"align": 3.0, "correct": 1.5}
CHECKPOINT = "tiny-audio-base"
_WARM_UP = 2
"""Steps before the clock starts."""


class Recordings(Dataset[Utterance]):
    """What the peer draws from."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self.utterances = utterances

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> Utterance:
        return self.utterances[index]


class PlainModel(nn.Module):
    """Encoder, projector and language model with the losses as one first writes them."""

    def __init__(self, model: ASRModel, ctc_weight: float) -> None:
        super().__init__()
        self.model = model
        self.ctc_weight = ctc_weight

    def forward(self, features: Tensor, feature_lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Any:
        """Loss of a padded batch; labels are padded with -100."""
        encoded = self.model.encoder(features, feature_lengths)
        projected = self.model.projector(encoded.last_hidden_state, encoded.lengths)
        lengths = self.model.projector.output_lengths(encoded.lengths)
        table = self.model.table_VE
        logits = torch.cat([projected.blank_BA[..., None], projected.hidden_BAE @ table.T.to(projected.hidden_BAE)], 2)
        targets = (labels + 1).clamp(min=0)  # class 0 is the blank
        ctc = F.ctc_loss(
            logits.float().log_softmax(2).transpose(0, 1), targets, lengths, label_lengths, reduction="sum"
        )
        loss = ctc / label_lengths.sum()
        if self.model.speech_llm is None:
            return {"loss": loss}
        return {"loss": self.ctc_weight * loss + self._llm_loss(projected, lengths, labels, label_lengths)}

    def _llm_loss(self, projected: Any, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        speech_llm = self.model.speech_llm
        audio = self.model.audio_embeddings(projected, lengths, self.model.table_VE)
        end = speech_llm.tokenizer.convert_tokens_to_ids(self.model.config.prompt.end_of_turn)
        ids, embeds = [], []
        for row, length, heard in zip(labels, label_lengths, audio, strict=True):
            prompt = torch.tensor(speech_llm.prompt_ids(len(heard)))
            answer = torch.cat([row[:length], torch.tensor([end])])
            whole = speech_llm.embed(torch.cat([prompt, answer])[None], [heard])[0]
            embeds.append(whole)
            ids.append(torch.cat([torch.full((len(prompt),), -100), answer]))
        mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in ids], batch_first=True)
        return speech_llm.llm(
            inputs_embeds=pad_sequence(embeds, batch_first=True),
            attention_mask=mask,
            labels=pad_sequence(ids, batch_first=True, padding_value=-100),
        ).loss


class Clock(Observer, TrainerCallback):
    """Seconds and audio from the end of the warm-up to the end of the run, of either loop."""

    def __init__(self) -> None:
        self.started = self.seconds = self.audio_duration = 0.0
        self.steps = 0

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Observer`."""
        if self.steps >= _WARM_UP:
            self.audio_duration += metrics["audio_duration"]
        self._tick()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """See `TrainerCallback`."""
        self._tick()

    def _tick(self) -> None:
        self.steps += 1
        if self.steps == _WARM_UP:
            self.started = time.perf_counter()
        self.seconds = time.perf_counter() - self.started


def peer_rate(stage: TrainConfig, utterances: Sequence[Utterance], steps: int) -> float:
    """Seconds of audio that the Trainer learns from in a second."""
    torch.manual_seed(0)
    plain = _plain_model(stage)
    mean = sum(utterance.duration for utterance in utterances) / len(utterances)
    batch_size = max(round(stage.optim.max_batch_duration / mean), 1)
    heard: list[float] = []

    def collate(rows: list[Utterance]) -> dict[str, Tensor]:
        heard.append(sum(row.duration for row in rows))
        features, feature_lengths = plain.model.encoder.features([load_waveform(row) for row in rows])
        labels = [torch.tensor(encode_transcript(plain.model.tokenizer, row.text)) for row in rows]
        return {
            "features": features,
            "feature_lengths": feature_lengths,
            "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
            "label_lengths": torch.tensor([len(row) for row in labels]),
        }

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            plain,
            TrainingArguments(
                folder,
                max_steps=steps + _WARM_UP,
                per_device_train_batch_size=batch_size,
                learning_rate=stage.optim.learning_rate,
                max_grad_norm=stage.optim.max_grad_norm,
                bf16=compute_dtype(torch.device("cpu"), "auto") == torch.bfloat16,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                remove_unused_columns=False,
                disable_tqdm=True,
            ),
            train_dataset=Recordings(utterances),
            data_collator=collate,
            callbacks=[clock],
        ).train()
    return sum(heard[_WARM_UP : _WARM_UP + steps]) / clock.seconds


def _plain_model(stage: TrainConfig) -> PlainModel:
    config, initial = read_checkpoint(CHECKPOINT)
    adapters = config.encoder.lora or stage.model.encoder.lora
    config = replace(config, encoder=replace(config.encoder, lora=adapters), draft_only=stage.model.draft_only)
    dtype = compute_dtype(torch.device("cpu"), "auto")
    model = ASRModel(config, build_modules(config, with_encoder=True, llm_dtype=dtype))
    own = trained_state(model)
    load_trained_state({name: initial.get(name, tensor) for name, tensor in own.items()}, model)
    model.train()
    model.encoder.eval()
    return PlainModel(model, stage.ctc_weight)


def our_rate(stage: TrainConfig, cache: Path, steps: int) -> float:
    """Seconds of audio that our loop learns from in a second, on the cache."""
    optim = replace(stage.optim, max_steps=steps + _WARM_UP)
    init = CHECKPOINT if stage.objective == "correct" else None
    config = replace(stage, train=(str(cache),), init=init, optim=optim, save_every=10**9)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", observers=[clock])
    return clock.audio_duration / clock.seconds


def main() -> int:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", nargs="?", help="recordings with texts (default: the replay set of `adapt`)")
    parser.add_argument("--steps", type=int, default=12, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stages", nargs="+", default=list(BARS), choices=list(BARS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    utterances = read_manifest(args.manifest) if args.manifest else [*chain(*replay_utterances())]
    recipe = build_recipe(CHECKPOINT.replace("-", "_"))
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        encoder = recipe.stages["align"].model.encoder
        started = time.perf_counter()
        cache_features(utterances, build_frozen_part(encoder), cache, meta=stored_meta(encoder))
        duration = sum(utterance.duration for utterance in utterances)
        print(f"{len(utterances)} recordings, {duration:.0f} s; cache filled in {time.perf_counter() - started:.1f} s")
        for name in args.stages:
            stage = recipe.stages[name]
            ours, peers = [], []
            for _ in range(args.rounds):
                ours.append(our_rate(stage, cache, args.steps))
                peers.append(peer_rate(stage, utterances, args.steps))
            ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, peers, strict=True))
            passed &= ratio >= BARS[name]
            print(
                f"{name:<8} ours {statistics.median(ours):6.1f}  Trainer {statistics.median(peers):6.1f}"
                f"  audio seconds a second; ratio {ratio:.1f}, at least {BARS[name]} wanted"
            )
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
