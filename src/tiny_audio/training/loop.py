"""The one training loop, for every objective."""

import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tiny_audio.data.manifest import read_manifest
from tiny_audio.data.stream import Batch, BatchStream, TrainingExample
from tiny_audio.errors import ConfigError
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_trained_state, read_checkpoint, trained_state
from tiny_audio.models.modules import build_modules
from tiny_audio.models.precision import autocast, has_fast_bfloat16
from tiny_audio.training.config import CTCSystem, OptimConfig, TrainConfig
from tiny_audio.training.ctc_objective import build_ctc_objective
from tiny_audio.training.examples import report_infeasible, training_examples, validation_batches
from tiny_audio.training.objective import Objective
from tiny_audio.training.run_directory import RunDirectory
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective

LOG_EVERY = 20

logger = logging.getLogger(__name__)


def train(config: TrainConfig, output_dir: Path) -> RunDirectory:
    """Run a configuration, or continue it where it was interrupted.

    Raises:
        ConfigError: nothing to train on, no checkpoint to start from, or the folder holds another run.
    """
    run = RunDirectory(output_dir, config)
    objective = build_objective(config, run.path)
    examples, infeasible = training_examples(config.train, run.path, objective)
    report_infeasible(infeasible, len(examples) + len(infeasible), run.path / "infeasible.jsonl")
    validation = {
        validation_name(source): validation_batches(
            source, run.path, objective, max_utterances=config.max_validation_utterances
        )
        for source in config.validation
    }
    run_loop(objective, examples, validation, config, run)
    return run


def run_loop(
    objective: Objective,
    examples: Sequence[TrainingExample],
    validation: Mapping[str, list[Batch]],
    config: TrainConfig,
    run: RunDirectory,
) -> None:
    """Step until `config.optim` says enough; log, validate and save on the way.

    Randomness (masks, dropout) is drawn anew from (seed, step): a resumed run equals an uninterrupted one.
    """
    max_batch_frames = int(config.optim.max_batch_duration * objective.frame_rate)
    stream = BatchStream(examples, max_batch_frames=max_batch_frames, seed=config.seed)
    max_steps = config.optim.max_steps or round(config.optim.epochs * stream.batches_per_epoch())
    logger.info(
        "%d utterances, %.2f h and %d batches an epoch, padding %.1f %%; %d steps; %.2f M trained parameters",
        len(examples),
        sum(example.utterance.duration for example in examples) / 3600,
        stream.batches_per_epoch(),
        100 * stream.padding_share(),
        max_steps,
        count_trainable(objective) / 1e6,
    )
    objective.prepare((example.labels for example in examples), config)
    optimizer = build_optimizer(objective, config.optim)
    step, best_wer = resume(run, objective, optimizer, stream)
    objective.train()
    generator = torch.Generator()
    progress = tqdm(total=max_steps, initial=step, unit="step", file=sys.stderr, disable=None)
    shown: dict[str, str] = {}
    try:
        for batch in stream:
            if step >= max_steps:
                break
            started = time.perf_counter()
            step_seed = config.seed * 1_000_003 + step
            generator.manual_seed(step_seed)
            torch.manual_seed(step_seed)
            set_learning_rate(optimizer, step, max_steps, config.optim)
            with autocast(objective.device):
                output = objective(batch, generator)
            optimizer.zero_grad(set_to_none=True)
            output.loss.backward()
            grad_norm = nn.utils.clip_grad_norm_(objective.parameters(), config.optim.max_grad_norm)
            optimizer.step()
            step += 1
            progress.update()
            is_last = step == max_steps
            if step % LOG_EVERY == 0 or is_last:
                speed = batch.duration / (time.perf_counter() - started)
                metrics = {**output.metrics, "grad_norm": float(grad_norm), "audio_seconds_per_second": speed}
                run.log(step, {name: round(value, 4) for name, value in metrics.items()})
                shown["loss"] = f"{output.metrics['loss']:.3f}"
                progress.set_postfix(shown)
            if validation and (step % config.validate_every == 0 or is_last):
                measured = {name: validate(objective, batches) for name, batches in validation.items()}
                wers = {f"{kind}/{name}": wer for name, found in measured.items() for kind, wer in found.items()}
                run.log(step, {name: round(wer, 4) for name, wer in wers.items()})
                report = ", ".join(f"{name} {wer:.2%}" for name, wer in wers.items())
                progress.write(f"step {step}: loss {output.metrics['loss']:.3f}, {report}", sys.stderr)
                mean_wer = sum(found["wer"] for found in measured.values()) / len(measured)
                if mean_wer < best_wer:
                    best_wer = mean_wer
                    objective.save(run.best)
            if step % config.save_every == 0 or is_last:
                save(run, objective, optimizer, step, best_wer)
    except KeyboardInterrupt:
        save(run, objective, optimizer, step, best_wer)
        logger.warning("interrupted at step %d; the same command continues from there", step)
        raise
    finally:
        progress.close()


def validation_name(source: str) -> str:
    """A short name for a validation set: `ljspeech/dev` for `../ljspeech/dev.jsonl`."""
    return "/".join(Path(source).with_suffix("").parts[-2:])


def build_objective(config: TrainConfig, run_folder: Path) -> Objective:
    """Modules of the run, with the weights of `config.init` when it names a checkpoint."""
    if isinstance(config.model, CTCSystem):
        texts = (utterance.text for source in config.train for utterance in read_manifest(source.partition("*")[0]))
        return build_ctc_objective(config.model, texts, run_folder, mask=config.mask, init=config.init)
    return _build_speech_llm_objective(config, config.model)


def _build_speech_llm_objective(config: TrainConfig, asr_config: ASRConfig) -> SpeechLLMObjective:
    """The encoder is built only where it is trained; else its output comes from a feature cache."""
    initial: dict[str, Tensor] = {}
    if config.init is not None:
        found, initial = read_checkpoint(config.init)
        asr_config = replace(
            found,
            encoder=replace(found.encoder, lora=asr_config.encoder.lora),
            projector=replace(found.projector, dropout=asr_config.projector.dropout),
            llm=replace(found.llm, lora=asr_config.llm.lora, training=asr_config.llm.training),
            draft_only=asr_config.draft_only,
        )
    elif config.objective == "correct":
        raise ConfigError(["objective 'correct' starts from an aligned projector; give its checkpoint with --init"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # The frozen part is kept in the format it is computed in; adapters and projector stay in float32.
    llm_dtype = torch.bfloat16 if has_fast_bfloat16(device) and asr_config.llm.training != "full" else torch.float32
    modules = build_modules(asr_config, with_encoder=asr_config.encoder.lora is not None, llm_dtype=llm_dtype)
    model = ASRModel(asr_config, modules).to(device)
    if initial:
        # An aligned checkpoint has no adapters yet: they keep their start.
        load_trained_state({**trained_state(model), **initial}, model)
    return SpeechLLMObjective(model, mask=config.mask, ctc_weight=config.ctc_weight)


def count_trainable(module: nn.Module) -> int:
    """Number of parameters that get gradients."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def build_optimizer(objective: Objective, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with decay on matrices only; each group keeps its own peak rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((objective.is_main(name), parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": config.learning_rate if is_main else config.lora_learning_rate,
                "weight_decay": config.weight_decay if is_matrix else 0.0,
            }
            for (is_main, is_matrix), parameters in groups.items()
        ],
        betas=(0.9, 0.98),
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, max_steps: int, config: OptimConfig) -> None:
    """Linear warm-up, then a cosine to zero."""
    warmup = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / max_steps, 1.0)))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * warmup * cosine


def resume(
    run: RunDirectory, objective: Objective, optimizer: torch.optim.Optimizer, stream: BatchStream
) -> tuple[int, float]:
    """Load the state of an interrupted run; returns the steps done and the best WER so far."""
    state = run.load_state()
    if state is None:
        return 0, math.inf
    objective.load_trained_state(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    stream.position = state["step"]
    logger.info("continuing at step %d", state["step"])
    return state["step"], state["best_wer"]


def save(run: RunDirectory, objective: Objective, optimizer: torch.optim.Optimizer, step: int, best_wer: float) -> None:
    """Write the newest weights and the state to continue from."""
    objective.save(run.checkpoint)
    state = {
        "model": objective.trained_state(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "best_wer": best_wer,
    }
    run.save_state(state)


def validate(objective: Objective, batches: list[Batch]) -> dict[str, float]:
    """Corpus WER of the texts and, where a language model had its say, of the CTC drafts before it."""
    objective.eval()
    with autocast(objective.device):
        hypotheses = [hypothesis for batch in batches for hypothesis in objective.transcribe(batch)]
    objective.train()
    references = [text for batch in batches for text in batch.references]
    wers = {"wer": count_errors(references, [hypothesis.text for hypothesis in hypotheses]).wer}
    if objective.has_draft:
        wers["draft_wer"] = count_errors(references, [hypothesis.draft for hypothesis in hypotheses]).wer
    return wers
