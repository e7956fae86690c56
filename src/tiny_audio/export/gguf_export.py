"""A pair of GGUF files for llama.cpp: the language model with its adapters merged, and encoder and projector (mmproj).

llama.cpp knows a Whisper encoder followed by Ultravox's projector. It has no form for an aligned one, whose output
goes through the embedding table and loses its blanks before the language model reads it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tiny_audio.errors import ExportError
from tiny_audio.export.folder import new_folder
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.llama_runner import LlamaRunner, rope_theta
from tiny_audio.models.lora import LoRALinear
from tiny_audio.models.projectors.ultravox import GGUF_NAMES, UltravoxProjector
from tiny_audio.text.prompts import AUDIO_TOKEN, TASKS, USER_PLACE, PromptConfig, end_token_id
from tiny_audio.weights.gguf import CONTROL_TOKEN, LAYER_PARTS, TOP_LEVEL

if TYPE_CHECKING:
    from gguf import GGUFWriter

LLM_FILE, MMPROJ_FILE = "model.gguf", "mmproj.gguf"
MEDIA_PLACE = "<__media__>"
"""Stands for the audio in a prompt of llama.cpp."""
_NORMAL_TOKEN, _USER_TOKEN = 1, 4
_ENCODER_PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "self_attn_layer_norm": "ln1",
    "final_layer_norm": "ln2",
    "fc1": "ffn_up",
    "fc2": "ffn_down",
}
_ENCODER_TOP = {
    "conv1": "a.conv1d.1",
    "conv2": "a.conv1d.2",
    "embed_positions": "a.position_embd",
    "layer_norm": "a.post_ln",
}
_LAYER_NORM_EPS = 1e-5
_README = """# {name} for llama.cpp

`{llm}` is the language model with its adapters merged.
{mmproj}"""
_README_MMPROJ = """
`{mmproj}` holds encoder and projector.

    llama-server -m {llm} --mmproj {mmproj}

The model knows one prompt, word for word, with `{media}` for the audio:

    {prompt}

Clips must be shorter than 30 s. llama.cpp fills each with silence up to 30 s and lets the language model read that too.
A model that was trained on clips of their own length hears something else there than in tiny-audio; measure before you
rely on it.
"""


def export_gguf(
    model: ASRModel, folder: Path, *, name: str = "tiny-audio", llm_only: bool = False, quantize: bool = False
) -> None:
    """Write the folder.

    Args:
        model: with language model; its adapters are merged.
        folder: must not exist, or be empty.
        name: of the model.
        llm_only: leave encoder and projector out.
        quantize: the language model's matrices in 8 bits (Q8_0) in place of 16.

    Raises:
        ExportError: the model has no such form in llama.cpp.
        OutputError: the folder cannot be written.
    """
    check_exportable(model, llm_only=llm_only)
    prompt = model.config.prompt
    with new_folder(folder) as part:
        _write_llm(model, part / LLM_FILE, name=name, quantize=quantize)
        about_mmproj = ""
        if not llm_only:
            _write_mmproj(model, part / MMPROJ_FILE, name=name)
            about_mmproj = _README_MMPROJ.format(
                llm=LLM_FILE, mmproj=MMPROJ_FILE, media=MEDIA_PLACE, prompt=json.dumps(llama_cpp_prompt(prompt))
            )
        readme = _README.format(name=name, llm=LLM_FILE, mmproj=about_mmproj)
        (part / "README.md").write_text(readme, encoding="utf-8")


def check_exportable(model: ASRModel, *, llm_only: bool) -> None:
    """Refuse what llama.cpp has no form for.

    Raises:
        ExportError: says what, and what to do.
    """
    if model.speech_llm is None:
        raise ExportError("this checkpoint has no language model yet; expected one that `correct` has trained")
    llm = model.speech_llm.llm
    if not LlamaRunner.supports(llm.config.to_dict()):
        raise ExportError(f"a language model of type '{llm.config.model_type}' is not exported; expected a plain Llama")
    pre_tokenizer(model.tokenizer)
    if llm_only:
        return
    if not isinstance(model.projector, UltravoxProjector):
        raise ExportError(
            f"llama.cpp has no form for the projector '{model.config.projector.kind}'"
            f"{' with CTC' if model.is_aligned else ''}; train stage speech_llm with projector.kind ultravox and "
            "projector.aligned false, or export --llm-only"
        )
    if not isinstance(model.encoder, WhisperEncoder):
        raise ExportError(f"llama.cpp runs this projector behind whisper only, not '{model.config.encoder.family}'")
    num_frames, stack_factor = model.encoder.max_frames, model.projector.stack_factor
    if num_frames % stack_factor:
        raise ExportError(
            f"projector.stack_factor {stack_factor} does not divide the {num_frames} frames of 30 s, and llama.cpp "
            "refuses a last stack that is not full; train with one that does, such as 4, 5 or 10"
        )


def llama_cpp_prompt(prompt: PromptConfig) -> str:
    """The `transcribe` prompt with llama.cpp's place for the audio."""
    return prompt.template.replace(USER_PLACE, TASKS["transcribe"].replace(AUDIO_TOKEN, MEDIA_PLACE))


def chat_template(prompt: PromptConfig) -> str:
    """One turn of the prompt as a Jinja template, so that a chat is asked in the words of the training."""
    opening, _, closing = prompt.template.partition(USER_PLACE)
    return (
        f"{{{{ {json.dumps(opening)} }}}}{{% for message in messages %}}{{% if message['role'] == 'user' %}}"
        f"{{{{ message['content'] }}}}{{% endif %}}{{% endfor %}}{{{{ {json.dumps(closing)} }}}}"
    )


def pre_tokenizer(tokenizer: Any) -> str:
    """llama.cpp's name for how a byte-level tokenizer cuts text before its merges.

    Raises:
        ExportError: it is cut otherwise.
    """
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    cut = settings["pre_tokenizer"] or {}
    steps = [step["type"] for step in cut.get("pretokenizers", [cut])]
    if settings["model"]["type"] == "BPE" and steps in (["ByteLevel"], ["Digits", "ByteLevel"]):
        return "gpt-2" if len(steps) == 1 else "smollm"
    raise ExportError(
        f"no name in llama.cpp is known for a tokenizer that cuts by {steps}; expected SmolLM2's or GPT-2's"
    )


def llama_tensors(llm: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every weight of a Llama with its adapters merged, under GGUF's name and in its order of rows."""
    own = {module: stored for stored, module in TOP_LEVEL.items()}
    parts = {module: stored for stored, module in LAYER_PARTS.items()}
    heads = {"attn_q": llm.config.num_attention_heads, "attn_k": llm.config.num_key_value_heads}
    for module_name, module in llm.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or module_name.endswith(".base"):
            continue
        if module_name == "lm_head" and llm.config.tie_word_embeddings:
            continue
        array = (module.weight if isinstance(module, LoRALinear) else weight).detach().float().cpu().numpy()
        if module_name in own:
            yield f"{own[module_name]}.weight", array
            continue
        _, _, layer, part = module_name.split(".", 3)
        if parts[part] in heads:
            array = permute_rows(array, heads[parts[part]])
        yield f"blk.{layer}.{parts[part]}.weight", array


def permute_rows(weight: NDArray[np.float32], num_heads: int) -> NDArray[np.float32]:
    """GGUF's row order of queries and keys: the two numbers that rotary positions turn together, side by side."""
    rows, *rest = weight.shape
    return weight.reshape(num_heads, 2, rows // num_heads // 2, *rest).swapaxes(1, 2).reshape(rows, *rest)


def _write_llm(model: ASRModel, path: Path, *, name: str, quantize: bool) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

    assert model.speech_llm is not None
    llm = model.speech_llm.llm
    sizes = llm.config
    writer = GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_vocab_size(sizes.vocab_size)
    writer.add_context_length(sizes.max_position_embeddings)
    writer.add_embedding_length(sizes.hidden_size)
    writer.add_block_count(sizes.num_hidden_layers)
    writer.add_feed_forward_length(sizes.intermediate_size)
    writer.add_head_count(sizes.num_attention_heads)
    writer.add_head_count_kv(sizes.num_key_value_heads)
    writer.add_layer_norm_rms_eps(sizes.rms_norm_eps)
    writer.add_rope_freq_base(rope_theta(sizes.to_dict()))
    writer.add_rope_dimension_count(sizes.hidden_size // sizes.num_attention_heads)
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if quantize else LlamaFileType.MOSTLY_F16)
    _add_tokenizer(writer, model.tokenizer, sizes.vocab_size, model.config.prompt)
    matrix_type = GGMLQuantizationType.Q8_0 if quantize else GGMLQuantizationType.F16
    for tensor_name, array in llama_tensors(llm):
        _add_tensor(writer, tensor_name, array, matrix_type)
    _finish(writer)


def _add_tokenizer(writer: "GGUFWriter", tokenizer: Any, size: int, prompt: PromptConfig) -> None:
    backend = tokenizer.backend_tokenizer
    added = tokenizer.added_tokens_decoder
    tokens = [backend.id_to_token(token_id) or f"[unused{token_id}]" for token_id in range(size)]
    kinds = [
        _NORMAL_TOKEN if token_id not in added else CONTROL_TOKEN if added[token_id].special else _USER_TOKEN
        for token_id in range(size)
    ]
    merges = json.loads(backend.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(tokenizer))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    end_id = end_token_id(tokenizer, prompt)
    writer.add_eos_token_id(end_id)
    writer.add_bos_token_id(end_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)
    writer.add_pad_token_id(end_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(chat_template(prompt))


def _write_mmproj(model: ASRModel, path: Path, *, name: str) -> None:
    from gguf import GGMLQuantizationType, GGUFType, GGUFWriter, VisionProjectorType

    encoder, projector = model.encoder, model.projector
    assert isinstance(encoder, WhisperEncoder)
    layer: Any = encoder.layers[0]
    writer = GGUFWriter(path, "clip")
    writer.add_type(GGUFType.MMPROJ)
    writer.add_name(name)
    writer.add_clip_has_audio_encoder(True)
    writer.add_clip_projector_type(VisionProjectorType.ULTRAVOX)
    writer.add_audio_projection_dim(projector.llm_dim)
    writer.add_audio_embedding_length(encoder.dim)
    writer.add_audio_feed_forward_length(layer.fc1.out_features)
    writer.add_audio_block_count(len(encoder.layers))
    writer.add_audio_head_count(layer.self_attn.num_heads)
    writer.add_audio_attention_layernorm_eps(_LAYER_NORM_EPS)
    writer.add_audio_num_mel_bins(encoder.n_mels)
    writer.add_audio_stack_factor(projector.stack_factor)
    for tensor_name, array in mmproj_tensors(encoder, projector):
        # Convolutions are computed from 16 bits; positions and norms are added as they are.
        is_small = array.ndim == 1 or tensor_name.endswith(".bias") or "position" in tensor_name
        _add_tensor(writer, tensor_name, array, GGMLQuantizationType.F32 if is_small else GGMLQuantizationType.F16)
    _finish(writer)


def mmproj_tensors(encoder: WhisperEncoder, projector: UltravoxProjector) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Encoder (adapters merged) and projector under llama.cpp's names."""
    for tensor_name, tensor in _merged_state(encoder).items():
        array = tensor.detach().float().cpu().numpy()
        module, _, kind = tensor_name.rpartition(".")
        if module in _ENCODER_TOP:
            is_conv_bias = module.startswith("conv") and kind == "bias"
            yield f"{_ENCODER_TOP[module]}.{kind}", array[:, None] if is_conv_bias else array
        else:
            _, layer, part = module.split(".", 2)
            yield f"a.blk.{layer}.{_ENCODER_PARTS[part]}.{kind}", array
    for tensor_name, tensor in projector.state_dict().items():
        yield GGUF_NAMES[tensor_name], tensor.float().cpu().numpy()


def _merged_state(encoder: WhisperEncoder) -> Mapping[str, Tensor]:
    """As if there were no adapters."""
    adapted = {name: module for name, module in encoder.named_modules() if isinstance(module, LoRALinear)}
    state = {
        name.replace(".base.", "."): tensor
        for name, tensor in encoder.state_dict().items()
        if name.rpartition(".")[0] not in adapted
    }
    return state | {f"{name}.weight": module.weight for name, module in adapted.items()}


def _add_tensor(writer: "GGUFWriter", name: str, array: NDArray[np.float32], matrix_type: Any) -> None:
    from gguf import GGMLQuantizationType, quantize

    kind = matrix_type
    if array.ndim == 1:
        kind = GGMLQuantizationType.F32
    elif kind == GGMLQuantizationType.Q8_0 and array.shape[-1] % 32:
        kind = GGMLQuantizationType.F16
    writer.add_tensor(name, quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)


def _finish(writer: "GGUFWriter") -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
