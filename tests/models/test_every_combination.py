"""What every system promises, whatever encoder and projector it is made of: both adapted, parts read from folders."""

from collections.abc import Iterable
from functools import cache
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
import torch

from miniatures import (
    ENCODER_DIMS,
    LLM_DIM,
    TOKENIZER,
    logits,
    noise,
    projected_tokens,
    save_encoder,
    save_llm,
    train_adapters,
)
from tiny_audio.data.stream import Batch, Step
from tiny_audio.models.asr_config import (
    ASRConfig,
    EncoderConfig,
    EncoderFamily,
    LLMConfig,
    LoRAConfig,
    ProjectorConfig,
    ProjectorKind,
)
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_model
from tiny_audio.models.encoders.encoder import EncoderOutput
from tiny_audio.models.lora import adapters_disabled, lora_state_dict, merge_lora
from tiny_audio.training.config import MaskConfig, OptimConfig
from tiny_audio.training.loop import build_optimizer
from tiny_audio.training.speech_llm_objective import SpeechLLMObjective

# WavLM's own attention mixes kinds of masks. The encoder says so too, but a test sees every warning again.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")

FAMILIES: tuple[EncoderFamily, ...] = tuple(name for name in get_args(EncoderFamily) if name != "log_mel")
KINDS: tuple[ProjectorKind, ...] = get_args(ProjectorKind)
PROJECTORS = [(kind, aligned) for kind in KINDS for aligned in (False, True) if aligned or kind != "conv_blocks"]
CASES = [(family, *projector) for family, projector in product(FAMILIES, PROJECTORS)]
NAMES = ["-".join([family, kind, "aligned" if aligned else "plain"]) for family, kind, aligned in CASES]
Case = tuple[EncoderFamily, ProjectorKind, bool]
"""Encoder, projector, and whether that is aligned."""
SHORTEST = 1_600
"""Samples; 0.1 s is the shortest clip that is ever transcribed."""
SECONDS = (1, 7, 25)
UNEQUAL = [noise(16_000 * seconds, seconds) for seconds in SECONDS]


class Systems:
    """Builds each combination from the same folders, and remembers what is costly to encode."""

    def __init__(self, folder: Path) -> None:
        self.llm = save_llm(folder / "llm")
        self.encoders = {family: save_encoder(folder / family, family) for family in FAMILIES}
        self.encoded = cache(self.encode)

    def build(
        self,
        family: EncoderFamily,
        kind: ProjectorKind,
        aligned: bool,
        *,
        adapt_encoder: bool = True,
        training: str = "lora",
    ) -> ASRModel:
        """New projector and new adapters."""
        lora = LoRAConfig(rank=2, alpha=4.0, targets=("q_proj", "v_proj"))
        config = ASRConfig(
            encoder=EncoderConfig(
                family=family, source=str(self.encoders[family]), lora=lora if adapt_encoder else None
            ),
            projector=ProjectorConfig(
                kind=kind, aligned=aligned, hidden_dim=32, stack_factor=5, num_blocks=1, dropout=0.0
            ),
            llm=LLMConfig(source=str(self.llm), training=training, lora=lora if training == "lora" else None),
            encoder_dim=ENCODER_DIMS[family],
            llm_dim=LLM_DIM,
            vocab_size=len(TOKENIZER),
        )
        torch.manual_seed(0)
        return ASRModel(config).eval()

    @torch.no_grad()
    def encode(self, family: EncoderFamily) -> tuple[EncoderOutput, list[EncoderOutput]]:
        """The unequal clips as a batch and one by one; the projector has no part in it."""
        model = trained(self.build(family, "mlp", False))
        assert model.encoder is not None
        together, *alone = (
            model.encoder(*model.encoder.features(waveforms)) for waveforms in (UNEQUAL, *([row] for row in UNEQUAL))
        )
        return together, alone


def trained(model: ASRModel) -> ASRModel:
    """The same with adapters that are not zero, and a residual that is not either."""
    train_adapters(model)
    for name, parameter in model.projector.named_parameters():
        if "residual" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Systems:
    return Systems(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module", params=CASES, ids=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def model(systems: Systems, case: Case) -> ASRModel:
    """New; a test may change it."""
    return systems.build(*case)


@pytest.fixture(scope="module")
def adapted(systems: Systems, case: Case) -> ASRModel:
    """As if it had been trained; all tests share it."""
    return trained(systems.build(*case))


@torch.no_grad()
def test_declared_lengths_are_real_lengths(adapted: ASRModel, case: Case) -> None:
    """At 200 random sizes for each encoder, which its 15 projectors share out among them."""
    sizes = torch.randint(SHORTEST, 16_000, (200,), generator=torch.Generator().manual_seed(2)).tolist()
    for num_samples in sizes[PROJECTORS.index(case[1:]) :: len(PROJECTORS)]:
        encoded = adapted.encoder(*adapted.encoder.features([noise(num_samples)]))
        assert adapted.encoder.output_lengths(torch.tensor([num_samples])).tolist() == encoded.lengths.tolist()
        assert encoded.last_hidden_state.shape == (1, int(encoded.lengths), adapted.config.encoder_dim)
        tokens_BAE = adapted.audio_projector(*encoded)
        assert tokens_BAE.shape == (1, int(adapted.projector.output_lengths(encoded.lengths)), LLM_DIM)
        assert tokens_BAE.isfinite().all()


@torch.no_grad()
def test_what_stands_behind_a_clip_changes_nothing_of_it(adapted: ASRModel) -> None:
    features, feature_lengths_B = adapted.encoder.features([noise(SHORTEST * 5, 3), noise(16_000, 4)])
    before = adapted.encoder(features, feature_lengths_B)
    features[0, ..., int(feature_lengths_B[0]) :] = 3.0
    after = adapted.encoder(features, feature_lengths_B)
    after.last_hidden_state[0, int(after.lengths[0]) :] = 1e4
    for left, right in zip(projected_tokens(adapted, before), projected_tokens(adapted, after), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-5)


@torch.no_grad()
def test_1_and_7_and_25_seconds_together_give_what_each_gives_alone(
    adapted: ASRModel, systems: Systems, case: Case
) -> None:
    together, alone = systems.encoded(case[0])
    for row, single in enumerate(alone):
        (length,) = single.lengths.tolist()
        assert together.lengths[row] == length
        torch.testing.assert_close(
            together.last_hidden_state[row, :length], single.last_hidden_state[0], rtol=0, atol=1e-4
        )
    for of_batch, single in zip(projected_tokens(adapted, together), alone, strict=True):
        torch.testing.assert_close(of_batch, projected_tokens(adapted, single)[0], rtol=0, atol=1e-4)
    for of_batch, single in zip(logits(adapted, together), alone, strict=True):
        torch.testing.assert_close(of_batch, logits(adapted, single)[0], rtol=0, atol=1e-4)


def step(model: ASRModel) -> tuple[set[str], set[str], set[str]]:
    """One step of training; names of what was reached by the gradient, of what it was not zero for, of what changed."""
    objective = SpeechLLMObjective(model, mask=MaskConfig(), ctc_weight=0.3)
    texts = ["one two", "three"]
    batch = Batch(
        features_BTD=torch.empty(0),
        lengths_B=torch.empty(0),
        labels=[list(objective.labels(text)) for text in texts],
        references=texts,
        ids=texts,
        duration=1.5,
        waveforms=(noise(16_000), noise(8_000, 1)),
    )
    optimizer = build_optimizer(objective, OptimConfig())
    for group in optimizer.param_groups:
        group["lr"] = group["peak"]
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    objective.train()
    of_batch = Step(
        index=0, epoch=0, seed=0, ids=tuple(texts), labels=tuple(map(tuple, batch.labels)), duration=batch.duration
    )
    objective(batch, of_batch).loss.backward()
    gradients = {name: tensor.grad for name, tensor in model.named_parameters() if tensor.grad is not None}
    optimizer.step()
    return (
        set(gradients),
        {name for name, gradient in gradients.items() if gradient.any()},
        {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])},
    )


def trainable(model: ASRModel) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def names_of(model: ASRModel, part: str, names: Iterable[str] | None = None) -> set[str]:
    """Full names of a part's parameters, or of some of them."""
    module = model.get_submodule(part)
    return {f"{part}.{name}" for name in (names or dict(module.named_parameters()))}


def test_a_step_of_training_reaches_exactly_what_is_trained(model: ASRModel) -> None:
    expected = (
        names_of(model, "projector")
        | names_of(model, "encoder", lora_state_dict(model.encoder))
        | names_of(model, "speech_llm.llm", lora_state_dict(model.decoder))
    )
    assert trainable(model) == expected
    reached, pulled, changed = step(model)
    assert reached == expected
    assert pulled <= changed <= expected  # so all else is bit-equal; an expert that nothing was routed to may rest


@pytest.mark.parametrize("training", ["frozen", "lora", "full"])
@pytest.mark.parametrize("adapt_encoder", [False, True])
def test_what_is_not_configured_is_not_trained(systems: Systems, training: str, adapt_encoder: bool) -> None:
    model = systems.build("hubert", "swiglu", False, adapt_encoder=adapt_encoder, training=training)
    of_llm = {"frozen": (), "lora": lora_state_dict(model.decoder), "full": dict(model.decoder.named_parameters())}
    expected = names_of(model, "projector")
    if adapt_encoder:
        expected |= names_of(model, "encoder", lora_state_dict(model.encoder))
    if training != "frozen":
        expected |= names_of(model, "speech_llm.llm", of_llm[training])
    assert trainable(model) == expected
    reached, pulled, changed = step(model)
    assert reached == expected
    assert pulled <= changed <= expected


@torch.no_grad()
def test_adapters_are_nothing_at_the_start_and_the_same_when_merged(model: ASRModel) -> None:
    def answer() -> torch.Tensor:
        return logits(model, model.encoder(*model.encoder.features(UNEQUAL[:1])))[0]

    untouched = answer()
    with adapters_disabled(model.encoder), adapters_disabled(model.decoder):
        assert torch.equal(answer(), untouched)
    trained(model)
    unmerged = answer()
    for part in (model.encoder, model.decoder):
        merge_lora(part)
    assert (unmerged - untouched).abs().max() > 0.01
    torch.testing.assert_close(answer(), unmerged, rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_saved_model_gives_the_same_logits(adapted: ASRModel, systems: Systems, case: Case, tmp_path: Path) -> None:
    adapted.save_pretrained(tmp_path, dtype=torch.float32)
    torch.manual_seed(9)
    loaded = load_model(tmp_path, merge_adapters=False)
    together, _ = systems.encoded(case[0])
    assert torch.equal(loaded.encode(UNEQUAL[0]), adapted.encode(UNEQUAL[0]))
    for left, right in zip(logits(loaded, together), logits(adapted, together), strict=True):
        assert torch.equal(left, right)
    assert trainable(loaded) == trainable(adapted)
