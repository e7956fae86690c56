"""What each token of a byte-level BPE vocabulary writes."""

from typing import Any

from tiny_audio.errors import ConfigError


def token_bytes(tokenizer: Any, size: int) -> list[bytes]:
    """What each of the first `size` tokens writes; nothing for control tokens.

    Raises:
        ConfigError: the tokenizer is not byte-level BPE.
    """
    from tokenizers import decoders, pre_tokenizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not isinstance(backend.decoder, decoders.ByteLevel):
        raise ConfigError(
            ["the tokenizer is not byte-level BPE, as those of Llama 3, Qwen and SmolLM are; use one that is"]
        )
    special = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    added = {token_id: token.content for token_id, token in tokenizer.added_tokens_decoder.items()}
    byte_of = _byte_of_symbol(pre_tokenizers.ByteLevel.alphabet())
    tokens = []
    for token_id in range(size):
        token = backend.id_to_token(token_id)
        if token is None or token_id in special:
            tokens.append(b"")
        elif token_id in added:  # written as it is, not in symbols for bytes
            tokens.append(token.encode())
        else:
            tokens.append(bytes(byte_of[symbol] for symbol in token))
    return tokens


def _byte_of_symbol(alphabet: list[str]) -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the others are numbered from 256 on."""
    printable = {ord(symbol) for symbol in alphabet if ord(symbol) < 256}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
