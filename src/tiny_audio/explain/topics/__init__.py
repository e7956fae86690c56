"""What `tiny-audio explore` can look at: one module a topic, each with `explore(request) -> Findings`.

A module has a function that measures, without a table or a picture in it, and functions that write and draw what was
measured. Everything printed is computed; where a chapter of the course says otherwise, a line says so.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic; literal, so that `--help` imports none of the modules."""

    module: str
    help: str
    takes: frozenset[str] = frozenset()
    """Options of the command that it reads."""


def _topic(name: str, text: str, *takes: str) -> Topic:
    return Topic(module=f"{__name__}.{name}", help=text, takes=frozenset(takes))


TOPICS: dict[str, Topic] = {
    "audio": _topic("audio", "normalisation, sample rates and noise", "audio", "model", "rate"),
    "encoder": _topic("encoder", "what goes into an encoder and what comes out", "audio", "encoder"),
    "encoders": _topic("encoders", "encoders side by side", "audio", "encoder"),
    "projector": _topic("projector", "the projector step by step", "audio", "model", "projector", "rate"),
    "downsampling": _topic("downsampling", "what stacking more frames costs and saves", "rate"),
    "activations": _topic("activations", "activation functions, with and without gates"),
    "configs": _topic("configs", "sizes of projectors", "model"),
    "decoders": _topic("decoders", "language models, their projectors and their memory"),
    "lora": _topic("lora", "parameters of adapters by rank and by layer", "encoder"),
    "data": _topic("data", "encoder and projector output as pictures", "audio", "model"),
    "attention": _topic("attention", "where the layers of an encoder look", "audio", "encoder"),
}
