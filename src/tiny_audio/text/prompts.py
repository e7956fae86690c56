"""How a transcript is asked for and how it is written in the language model's tokens.

The same few tokens stand around the audio in training and in inference; there is no other place that builds them.
"""

from typing import Any, Protocol

AUDIO_TOKEN = "<|audio|>"
"""Stands for all audio embeddings in the prompt text."""
PROMPT = f"<|im_start|>user\nTranscribe: {AUDIO_TOKEN}<|im_end|>\n<|im_start|>assistant\n"
"""ChatML, the format of the SmolLM2 and Qwen families, without a system message: fewer tokens to compute."""
END_OF_TURN = "<|im_end|>"


class Tokenizer(Protocol):
    """What we use of a `transformers` tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]:
        """Token ids of a text."""

    def decode(self, token_ids: Any, *, skip_special_tokens: bool = ...) -> Any:
        """Text of token ids."""


def encode_prompt(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Token ids before and after the audio."""
    before, after = PROMPT.split(AUDIO_TOKEN)
    return tokenizer.encode(before, add_special_tokens=False), tokenizer.encode(after, add_special_tokens=False)


def encode_transcript(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a transcript, with a space in front.

    So the first word is the same token as in the middle of a sentence, and the CTC draft is written in exactly the
    tokens that the language model will be asked for.
    """
    return tokenizer.encode(" " + " ".join(text.split()), add_special_tokens=False)


def decode_transcript(tokenizer: Tokenizer, token_ids: list[int]) -> str:
    """Text of the tokens of a transcript, on one line."""
    return " ".join(tokenizer.decode(token_ids, skip_special_tokens=True).split())
