"""What a configuration trains: the modules of a run, with the weights that it starts from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tiny_audio.data.feature_cache import FeatureCache
from tiny_audio.data.mixing import split_weight
from tiny_audio.data.shards import read_source
from tiny_audio.data.stream import Source, StepStream
from tiny_audio.errors import ConfigError
from tiny_audio.models.asr_config import ASRConfig, LoRAConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_trained_state, read_checkpoint, split_state, trained_state
from tiny_audio.models.modules import build_modules
from tiny_audio.training.character_objective import build_character_objective
from tiny_audio.training.config import CTCSystem, TrainConfig
from tiny_audio.training.ctc_objective import build_ctc_objective
from tiny_audio.training.describe_objective import build_describe_objective
from tiny_audio.training.distill_objective import DistillObjective
from tiny_audio.training.objective import Objective
from tiny_audio.training.precision import compute_dtype
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective


def build_objective(config: TrainConfig, run_folder: Path) -> Objective:
    """Modules of the run, with the weights of `config.init` when it names a checkpoint; new ones follow the seed."""
    torch.manual_seed(config.seed)
    if isinstance(config.model, CTCSystem):
        return build_ctc_objective(
            config.model,
            (text for source in config.train for text in _texts(split_weight(source)[0])),
            run_folder,
            config=config.ctc,
            init=config.init,
            # Recordings that change each time have no features to keep.
            is_cached=config.data.augment is None,
        )
    if config.objective == "describe":
        return build_describe_objective(config.init)
    if config.objective == "characters":
        return build_character_objective(config.init, config.model.characters, config.mask)
    return _build_speech_llm_objective(config, config.model)


def build_stream(config: TrainConfig, sources: Sequence[Source], objective: Objective) -> StepStream:
    """The steps that a run takes over these sources; the objective looks at their labels."""
    objective.prepare((example.labels for source in sources for example in source.examples), config)
    return StepStream(
        sources,
        max_step_frames=int(config.optim.max_batch_duration * objective.frame_rate),
        seed=config.seed,
        augment=config.data.augment,
        pad_to_frames=config.data.pad_to_frames,
    )


def _texts(source: str) -> Iterator[str]:
    utterances = FeatureCache(Path(source)) if Path(source).is_dir() else read_source(source)
    return (utterance.text for utterance in utterances)


def _build_speech_llm_objective(config: TrainConfig, asr_config: ASRConfig) -> SpeechLLMObjective:
    """The encoder is built only where it is trained; else its output comes from a feature cache."""
    initial: dict[str, Tensor] = {}
    of_llm: dict[str, Tensor] | None = None
    if config.init is not None:
        found, initial = read_checkpoint(config.init)
        if config.objective == "align" and found.projector.aligned and not found.draft_only:
            # It goes on hearing alone; its language model is not needed for that and stays as it is.
            initial, of_llm = split_state(initial)
        encoder = replace(found.encoder, lora=_adapters(found.encoder.lora, asr_config.encoder.lora))
        if found.described_facts and encoder.stored_block != found.encoder.stored_block:
            # What the describer listened to is about to change.
            initial = {name: tensor for name, tensor in initial.items() if not name.startswith("describer.")}
            tasks = tuple(task for task in found.tasks if task != "describe")
            found = replace(found, described_facts={}, tasks=tasks)
        asr_config = replace(
            found,
            encoder=encoder,
            projector=replace(
                found.projector,
                dropout=asr_config.projector.dropout,
                # Words that are known already are then also compared with their spelling.
                spelling_dim=found.projector.spelling_dim or asr_config.projector.spelling_dim,
            ),
            llm=found.llm
            if of_llm is not None
            else replace(
                found.llm,
                lora=_adapters(found.llm.lora, asr_config.llm.lora),
                training=asr_config.llm.training,
            ),
            draft_only=of_llm is not None or asr_config.draft_only,
        )
    elif config.objective == "correct":
        raise ConfigError(["objective 'correct' starts from an aligned projector; give its checkpoint with --init"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = compute_dtype(device, config.optim.precision)
    # The frozen part is kept in the format it is computed in; what is trained stays in float32.
    llm_dtype = torch.float32 if asr_config.llm.training == "full" else dtype
    modules = build_modules(asr_config, with_encoder=asr_config.encoder.lora is not None, llm_dtype=llm_dtype)
    model = ASRModel(asr_config, modules).to(device)
    if initial:
        # An aligned checkpoint has no adapters yet: they keep their start.
        load_trained_state({**trained_state(model), **initial}, model)
    if config.optim.lora_learning_rate == 0:
        # What keeps its values needs no gradients.
        for name, parameter in model.named_parameters():
            if not name.startswith("projector."):
                parameter.requires_grad_(False)
    if config.objective == "distill":
        return DistillObjective(model, mask=config.mask, config=config.distill, dtype=dtype)
    return SpeechLLMObjective(model, mask=config.mask, ctc_weight=config.ctc_weight, dtype=dtype, of_llm=of_llm)


def _adapters(found: LoRAConfig | None, wanted: LoRAConfig | None) -> LoRAConfig | None:
    """Those that a checkpoint has keep their sizes; of the configuration they take what concerns training alone."""
    if found is None or wanted is None:
        return found or wanted
    return replace(found, dropout=wanted.dropout)
