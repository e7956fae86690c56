"""The 40 statements of the course's first four chapters that are not true, each with what is.

A row is a function that computes the truth from this package's models, at full size on the meta device, and puts it
into words. `docs/seed-corrections.md` is all of them, and a test compares it with what they say today:

    PYTHONPATH=tests .venv/bin/python -m seeds.corrections > docs/seed-corrections.md
"""

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from fakes import FakeSpeechModel, tone
from tiny_audio.audio.vad import VadOptions
from tiny_audio.errors import UnknownNameError
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.models.asr_config import EncoderConfig, EncoderFamily, LLMConfig, ProjectorConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.encoders import presets as encoder_presets
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.encoders.self_supervised import SelfSupervisedEncoder
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.llm import build_llm
from tiny_audio.models.llm_presets import ARCHITECTURES as LLMS
from tiny_audio.models.lora import count_lora_parameters
from tiny_audio.models.modules import count_module
from tiny_audio.models.projectors.build import build_projector, num_parameters
from tiny_audio.models.projectors.conv_mlp import ConvMLPProjector
from tiny_audio.models.projectors.projector import root_mean_square
from tiny_audio.models.projectors.swiglu import SwiGLUProjector
from tiny_audio.recipes import build_recipe
from tiny_audio.recipes.recipe import training_memory

HUBERT = "facebook/hubert-xlarge-ls960-ft"
TURBO = "openai/whisper-large-v3-turbo"
QWEN, SMOLLM3 = "Qwen/Qwen3-8B", "HuggingFaceTB/SmolLM3-3B"
SYSTEM = "hubert_xlarge_swiglu_qwen3_8b"
HISTORY = "the course project's code of that time"


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One row."""

    number: int
    where: str
    """Chapter, then its lines."""
    said: str
    truth: Callable[[], str]
    source: str
    """Where the truth is from, if this package cannot compute it."""

    def row(self) -> str:
        """As it stands in the document."""
        return f"| {self.number} | {self.where} | {self.said} | {self.truth()} | {self.source or 'computed'} |"


CORRECTIONS: list[Correction] = []


def corrects(where: str, said: str, *, source: str = "") -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Number a row and append it to the table."""

    def append(truth: Callable[[], str]) -> Callable[[], str]:
        number = len(CORRECTIONS) + 1
        CORRECTIONS.append(Correction(number=number, where=where, said=said, truth=truth, source=source))
        return truth

    return append


# --- full-size systems, without memory for them --------------------------------------------------------------------


@cache
def encoder(family: EncoderFamily, source: str) -> Encoder:
    architecture = encoder_presets.ARCHITECTURES[family][source]
    with torch.device("meta"):
        return build_encoder(EncoderConfig(family=family, source=None, architecture=architecture))


@cache
def llm(source: str) -> torch.nn.Module:
    with torch.device("meta"):
        return build_llm(LLMConfig(source=None, architecture=LLMS[source]))


@cache
def whole_turbo() -> torch.nn.Module:
    """Encoder and decoder; this package builds the encoder alone."""
    sizes = encoder_presets.ARCHITECTURES["whisper"][TURBO]
    decoder = {"decoder_layers": 4, "decoder_attention_heads": 20, "decoder_ffn_dim": 5120, "vocab_size": 51_866}
    with torch.device("meta"):
        return WhisperForConditionalGeneration(WhisperConfig(**sizes, **decoder))


def size(module: torch.nn.Module) -> int:
    return count_module(module).total


def swiglu(*, llm_dim: int, hidden_dim: int = 8192, stack_factor: int = 5) -> int:
    """Parameters of the chapters' projector behind an encoder of width 1280."""
    config = ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=hidden_dim, stack_factor=stack_factor)
    return num_parameters(config, encoder_dim=1280, llm_dim=llm_dim)


def encoder_lora(rank: int, *targets: str) -> int:
    return count_lora_parameters(encoder("hubert", HUBERT), rank=rank, targets=targets or ("q_proj", "k_proj"))


def llm_lora(source: str, rank: int) -> int:
    return count_lora_parameters(llm(source), rank=rank, targets=("q_proj", "v_proj"))


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f} %"


# --- the rows ------------------------------------------------------------------------------------------------------


@corrects("000: 124, 131, 716, 768", "HuBERT-XLarge has 24 transformer layers")
def _() -> str:
    layers = len(encoder("hubert", HUBERT).model.encoder.layers)
    return (
        f"{layers} layers. The chapter's {encoder_lora(8):,} adapter parameters need them; 24 layers would have "
        f"{encoder_lora(8) * 24 // layers:,}."
    )


@corrects("000: 134, 642", "HuBERT-XLarge has about 1.3 billion parameters (1,267,200,000)")
def _() -> str:
    total = size(encoder("hubert", HUBERT))
    return f"{total:,}, and {total + encoder_lora(8):,} with adapters of rank 8."


@corrects("000: 160-167, 716", "`lora_experiment.py` gives about 2 M at rank 8, 0.15 % of the encoder")
def _() -> str:
    true, layers = encoder_lora(8), len(encoder("hubert", HUBERT).model.encoder.layers)
    printed = true * 24 / layers
    return (
        f"It multiplies by 24 layers and prints {printed / 1e6:.2f}M ({percent(printed, 1.3e9)}). With {layers} it is "
        f"{true / 1e6:.2f}M, {percent(true, size(encoder('hubert', HUBERT)))} of the encoder's true size."
    )


@corrects("002: 73-79, 153; 000", "Qwen3-8B has 32 layers and is 2048 wide")
def _() -> str:
    config = llm(QWEN).config
    return (
        f"{config.num_hidden_layers} layers of width {config.hidden_size}, {config.num_attention_heads} query heads, "
        f"{config.num_key_value_heads} key-value heads, {config.intermediate_size:,} in the feed-forward network, "
        f"{config.vocab_size:,} tokens."
    )


@corrects("000: 649; 002: 929", "The projector for Qwen3-8B has 121.6 M parameters")
def _() -> str:
    width = llm(QWEN).config.hidden_size
    total = swiglu(llm_dim=width) + encoder_lora(16) + llm_lora(QWEN, 8)
    return (
        f"{swiglu(llm_dim=width):,} for its width of {width}; {swiglu(llm_dim=2048):,} is for a width of 2048. With "
        f"adapters of rank 16 in the encoder and 8 in the language model, {total:,} are trained."
    )


@corrects("000: 811, 679, 167", "3.2 % of the parameters are trained (139 M of 4.3 B); elsewhere 1.5 %, and 0.15 %")
def _() -> str:
    base, adapters = size(encoder("hubert", HUBERT)), encoder_lora(8)
    counts = build_recipe(SYSTEM).count_parameters().values()
    trained, total = sum(count.trainable for count in counts), sum(count.total for count in counts)
    small = swiglu(llm_dim=2048) + adapters + llm_lora(SMOLLM3, 64)
    small_total = small + base + size(llm(SMOLLM3))
    return (
        f"Three different quotients. With SmolLM3-3B: {small:,} of {small_total:,}, {percent(small, small_total)}. "
        f"With Qwen3-8B: {trained:,} of {total:,}, {percent(trained, total)}. The adapters' share of the encoder "
        f"alone: {percent(adapters, base + adapters)}."
    )


@corrects("000: 657, 830", "Adapters of rank 64 on Qwen3-8B have 15.3 M parameters")
def _() -> str:
    assert llm_lora(QWEN, 32) == llm_lora(SMOLLM3, 64)
    return (
        f"{llm_lora(QWEN, 64):,} on queries and values; {llm_lora(QWEN, 32):,} is rank 32 there, or rank 64 on "
        "SmolLM3-3B."
    )


@corrects("000: 640-667; 002: 824", "The counts are those of the actual training", source=f"computed, and {HISTORY}")
def _() -> str:
    projector = swiglu(llm_dim=llm(QWEN).config.hidden_size, hidden_dim=4096)
    return (
        f"Its configuration has rank 0 for both adapters and 4096 in the projector: {projector:,} parameters, no LoRA."
    )


@corrects("002: 930-932", "Other projectors have 60,829,696, 121,651,456 and 121,634,880 parameters")
def _() -> str:
    smaller, more, less = (
        swiglu(llm_dim=2048, hidden_dim=hidden_dim, stack_factor=stack_factor)
        for hidden_dim, stack_factor in ((4096, 5), (8192, 8), (8192, 2))
    )
    return f"{smaller:,} (half as wide), {more:,} (stacks of 8), {less:,} (stacks of 2), by the chapter's own formula."


@corrects("002: 927-932", "The table is printed with the parameters at the left of their column, ending in column 36")
def _() -> str:
    line = f"{'Actual (Tiny Audio)':<25} {swiglu(llm_dim=2048):>14,} {30:>9} {100.0:>11.1f} {5.0:>11.1f}x"
    ends = [match.end() for match in re.finditer(r"[\d,.]+", line)]
    return f"The format aligns all numbers on the right: they end in columns {', '.join(map(str, ends))}."


@corrects("002: 931, 510", "Stacks of 8 make 18 tokens of 3 s (the exercise before says 19)")
def _() -> str:
    frames = encoder("hubert", HUBERT).output_lengths(torch.tensor([48_000]))
    tokens = SwiGLUProjector(encoder_dim=1, llm_dim=1, hidden_dim=1, stack_factor=8).output_lengths(frames)
    return f"{int(tokens)}: {int(frames)} frames, and a last stack that is not full counts."


@corrects("002: 990", "Qwen/Qwen3-1.5B, 1536 wide, is one of the decoders", source="computed, and the models' cards")
def _() -> str:
    widths = {name: values["hidden_size"] for name, values in LLMS.items() if name.startswith("Qwen/Qwen3-")}
    assert "Qwen/Qwen3-1.5B" not in widths
    assert 1536 not in widths.values()
    width = widths["Qwen/Qwen3-1.7B"]
    return (
        "There is none: Qwen3 has 0.6, 1.7, 4, 8, 14 and 32 billion; 1536 is the width of Qwen2.5-1.5B. Qwen3-1.7B is "
        f"{width} wide, its projector has {swiglu(llm_dim=width):,} parameters."
    )


@corrects("003: 66, 70, 190", "SmolLM3 is 1536 wide")
def _() -> str:
    return f"{llm(SMOLLM3).config.hidden_size}."


@corrects("003: 56, 144", "An encoder step is 20 to 30 ms, or 30 ms")
def _() -> str:
    steps = {1000 / each.frame_rate for each in (encoder("whisper", TURBO), encoder("hubert", HUBERT))}
    return f"{steps.pop():g} ms, for Whisper and HuBERT alike."


@corrects("003: 57", "3 s become about 150 vectors in Whisper")
def _() -> str:
    waveform = np.zeros(48_000, np.float32)
    frames = []
    for pad_to_window in (True, False):
        whisper = WhisperEncoder(dim=64, num_layers=1, n_mels=128, pad_to_window=pad_to_window)
        with torch.inference_mode():
            frames.append(whisper(*whisper.features([waveform])).last_hidden_state.shape[1])
    padded, own = frames
    return (
        f"{padded} as it was trained, with 30 s of padding, of which {own} are real; {own} here, on the clip's length."
    )


@corrects("003: 140, 150", "`model.encode` and `model.audio_projector` are there", source=f"computed, and {HISTORY}")
def _() -> str:
    names = [name for name in ("encode", "audio_projector") if callable(getattr(ASRModel, name))]
    return (
        f"No version of the course's project had them. Here `{'` and `'.join(names)}` work as the chapter calls them."
    )


@corrects("003: 144", "`encoder_outpu t.shape` is Python")
def _() -> str:
    try:
        ast.parse("encoder_outpu t.shape[1]")
    except SyntaxError as error:
        ast.parse("encoder_output.shape[1]")
        return f"A {type(error).__name__}; `encoder_output.shape` is meant."
    raise AssertionError


@corrects("003: 132", "`ASRModel(config)` is the trained model")
def _() -> str:
    config = ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=8)
    left, right = (build_projector(config, encoder_dim=4, llm_dim=4).down_proj.weight for _ in range(2))
    assert not torch.equal(left, right)
    return "Its projector is new and random, another one each time; `ASRModel.from_pretrained` loads the trained one."


@corrects("003: 163", "The embeddings can be drawn as they are, whatever their type")
def _() -> str:
    try:
        torch.zeros(1, dtype=torch.bfloat16).numpy()
    except TypeError as error:
        default = inspect.signature(build_llm).parameters["dtype"].default
        return (
            f"A bfloat16 tensor has no `numpy()` ({type(error).__name__}). Here weights are {default} unless asked for."
        )
    raise AssertionError


@corrects("000: 739, 741", "`recommend_usage` can be called above its definition")
def _() -> str:
    definition, call = "def recommend_usage(rank): return 'good'\n", "recommend_usage(8)\n"
    exec(definition + call, {})
    try:
        exec(call + definition, {})
    except NameError as error:
        return f"A {type(error).__name__}: the definition has to come first."
    raise AssertionError


@corrects("000: 761-762", "HuBERT's layers for LoRA are called `o_proj`, `mlp.fc1` and `mlp.fc2`")
def _() -> str:
    try:
        encoder_lora(8, "o_proj")
    except UnknownNameError as error:
        names = str(error).partition("known: ")[2].partition(".")[0]
    attention, feed_forward = ("q_proj", "k_proj", "v_proj", "out_proj"), ("intermediate_dense", "output_dense")
    return (
        f"{names}. Rank 8 on all of the attention is {encoder_lora(8, *attention):,}, on the feed-forward network "
        f"{encoder_lora(8, *feed_forward):,}."
    )


@corrects("002: 372, 611, 701", "`model.encoder(**inputs)` works with any encoder")
def _() -> str:
    waveforms, mel = (
        list(inspect.signature(cls.forward).parameters)[1] for cls in (SelfSupervisedEncoder, WhisperEncoder)
    )
    return f"With those that read waveforms (`{waveforms}`); Whisper reads a log-mel spectrogram (`{mel}`)."


@corrects("002: 213-259", "The last norm gives the output the distribution of text embeddings")
def _() -> str:
    torch.manual_seed(0)
    projector = SwiGLUProjector(encoder_dim=64, llm_dim=64, hidden_dim=256)
    frames, table = torch.randn(1, 50, 64) * 7, torch.randn(500, 64) * 0.04
    with torch.inference_mode():
        before = root_mean_square(projector(frames))
        projector.calibrate(table)
        after = root_mean_square(projector(frames))
    return (
        f"With weights of 1 its root mean square is {before:.2f} whatever the table's is; tables have 0.02 to 0.15. "
        f"`calibrate` gives it the table's: {after:.2f} for one of 0.04."
    )


@corrects("001: 89", "Whisper learns from audio without labels", source="arXiv 2212.04356")
def _() -> str:
    return "It learns from audio with transcripts as the internet has them (weak supervision). HuBERT needs none."


@corrects("001: 212", "The Whisper encoder has about 809 M parameters")
def _() -> str:
    return f"{size(encoder('whisper', TURBO)):,}; {size(whole_turbo()):,} is all of large-v3-turbo, with its decoder."


@corrects("001: 159", "The convolution of the projector compresses 4 times")
def _() -> str:
    projector = ConvMLPProjector(encoder_dim=4, llm_dim=4, stack_factor=2)
    with torch.inference_mode():
        tokens = projector(torch.zeros(1, 1500, 4)).shape[1]
    return (
        f"{1500 // tokens} times, 1500 frames to {tokens}; {3000 // tokens} times is counted from the 3000 mel frames."
    )


@corrects("001: 474", "HuBERT's name on the hub is facebook/hubert-xlarge-ft-ls960")
def _() -> str:
    known = [name for name in encoder_presets.ARCHITECTURES["hubert"] if "xlarge" in name]
    return f"{known[0]}."


@corrects("001: 391-393", "Equal texts of 9 words have a word error rate of 8.33 %")
def _() -> str:
    text = "The quick brown fox jumps over the lazy dog"
    counts = count_errors([text], [text])
    rates = [f"{100 * errors / counts.reference_words:.2f}" for errors in range(counts.reference_words)]
    assert "8.33" not in rates
    return f"{rates[counts.errors]} %. One error in {counts.reference_words} words is {rates[1]} %; 8.33 % is 1 in 12."


@corrects(
    "001: 371, 397",
    "The error rate is 6 to 12 %, and 12.45 % is printed",
    source="computed, and the course's other pages",
)
def _() -> str:
    return (
        f"12.45 % is {12.45 - 12:.2f} points above that range. Other pages have 10.14 and 12.14 % for one and the same "
        "state, so none of these is a result to compare with."
    )


@corrects("001: 369", "Long files are cut into 30 s by themselves", source=f"computed, and {HISTORY}")
def _() -> str:
    model = FakeSpeechModel()
    transcriber = Transcriber(model, vad=VadOptions(kind="energy", max_speech_duration_s=30.0))
    transcriber.transcribe(tone(duration=70.0), sample_rate=16_000)
    heard = [seconds for batch in model.batches for seconds in batch]
    assert max(heard) <= 30
    return f"That code heard the first 30 s only. Here {sum(heard):.0f} of 70 s are heard, in pieces of at most 30 s."


@corrects("001: 384", "Seed 42 makes the 100 samples reproducible", source=HISTORY)
def _() -> str:
    return "The option is there, but only the combined set is shuffled by it."


@corrects("001: 360-363", "The demo has two modes, Transcribe and Text", source=f"computed, and {HISTORY}")
def _() -> str:
    assert inspect.signature(ASRModel.generate).parameters["audio"].default is None
    return "It had one button then. Here `model.generate(prompt=...)` asks the language model without audio."


@corrects("001: 356", "The first start downloads about 4 GB")
def _() -> str:
    whisper, language = (2 * size(model) / 1e9 for model in (whole_turbo(), llm(SMOLLM3)))
    return f"{whisper + language:.1f} GB in 16 bits: {whisper:.1f} of Whisper, {language:.1f} of SmolLM3."


@corrects("001: 324", "`scripts/download_samples.py` fetches samples", source=HISTORY)
def _() -> str:
    return "It was deleted with the commit that wrote the chapter."


@corrects("001: 455", "The 64 features shown are sorted by activation", source=HISTORY)
def _() -> str:
    return "They are the 64 that vary most over time, by variance."


@corrects("001: 218; other pages", "An A40 has 40 GB", source="the card's data sheet")
def _() -> str:
    return "48 GB."


@corrects("000: 833; 002: 1170", "The projector is in lines 29 to 77 of its file", source=HISTORY)
def _() -> str:
    return "29 to 80."


@corrects("003: 55", "Whisper large-v3-turbo learned from 680,000 hours", source="the models' cards")
def _() -> str:
    return "That is v1 and v2. v3, of which turbo was made, had 1 million hours, and 4 million that v2 transcribed."


@corrects("000: 67, 97", "The lecture's sections are numbered 1, 2, 2, 3", source="the chapter itself")
def _() -> str:
    return "1 to 4: quality of data, from sound to numbers, feature extraction, the encoder."


@corrects("002: 1040-1055", "Training with LoRA takes 1.9 GB (Qwen3-8B) or 2.3 GB")
def _() -> str:
    said = [12 * (122e6 + 2e6 + 4 * 2 * width * 64 * 32) / 1e9 for width in (2048, 4096)]
    assert [f"{gigabytes:.1f}" for gigabytes in said] == ["1.9", "2.3"]
    counts = build_recipe(SYSTEM).count_parameters()
    frozen = 2 * sum(count.frozen for count in counts.values())
    return (
        f"That is 12 bytes a trained parameter and nothing else. With frozen weights in 16 bits ({frozen / 1e9:.1f} "
        f"GB) and 16 bytes a trained one it is {training_memory(counts) / 1e9:.1f} GB, and activations on top."
    )


# --- the document --------------------------------------------------------------------------------------------------

HEADER = """\
# Corrections to the course

What the first four chapters of the course say that is not true, and what is. A row marked "computed" is computed by
this package each time the tests run (`tests/seeds/corrections.py`), from models of full size that take no memory; in
the others the last column says where the truth is from. `tiny-audio show params RECIPE --as-seed` puts the chapters'
parameter counts beside the true ones, and the chapters' exercises run in `tests/seeds/`.

- 000: Class 2, audio processing and encoders
- 001: Class 1, introduction, architecture and setup
- 002: Class 3, language models and projectors
- 003: Class 2 of a later edition, the end-to-end architecture

| # | Chapter: lines | It says | True | From |
|---|---|---|---|---|
"""


def document() -> str:
    """All of `docs/seed-corrections.md`."""
    return HEADER + "".join(f"{correction.row()}\n" for correction in CORRECTIONS)


if __name__ == "__main__":
    print(document(), end="")
