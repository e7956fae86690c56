"""A language model's byte-pair encoding after its first merges only (BPE, arXiv 1508.07909).

Merges are in the order in which they were learnt, the frequent ones first. With the first few thousand every word is
written in tokens that are heard often; with all of them a rare word is a rare token, which a CTC learns by hearing it.
The ids are those of the whole vocabulary.
"""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from tiny_audio.errors import ConfigError


class TruncatedBPE:
    """Writes texts in the tokens whose ids are below `size`; control tokens in a text are only letters.

    Args:
        tokenizer: the language model's, a fast one of `transformers`.
        size: ids that may be used.

    Raises:
        ConfigError: the tokenizer is no BPE, or some of its letters have ids from `size` on.
    """

    def __init__(self, tokenizer: Any, size: int) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        stored: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {"model": {"type": "slow"}}
        model = stored["model"]
        if model["type"] != "BPE":
            raise ConfigError(
                [f"projector.ctc_vocab_size: the language model's tokenizer is {model['type']}, no BPE; leave it out"]
            )
        ids: dict[str, int] = model["vocab"]
        products = ["".join(_parts(merge)) for merge in model["merges"]]
        control = {token["content"] for token in stored["added_tokens"]}
        letters = max(ids[token] for token in ids.keys() - products - control)
        if letters >= size:
            raise ConfigError(
                [f"projector.ctc_vocab_size: {size} leaves out letters, whose ids reach {letters}; expected more"]
            )
        known = [ids[product] < size for product in products]
        model["merges"] = [merge for merge, is_known in zip(model["merges"], known, strict=True) if is_known]
        stored["added_tokens"] = []
        self._tokenizer = FastTokenizer.from_str(json.dumps(stored))
        self._whole = tokenizer

    def encode(self, text: str, *, add_special_tokens: bool = False, split_special_tokens: bool = True) -> list[int]:
        """Token ids of a text."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids  # type: ignore[no-any-return]

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of token ids."""
        return str(self._whole.decode(token_ids, skip_special_tokens=skip_special_tokens))

    def __len__(self) -> int:
        """Tokens of the whole vocabulary."""
        return len(self._whole)


def _parts(merge: str | list[str]) -> list[str]:
    """Left and right; older files have them in one string."""
    return merge.split(" ") if isinstance(merge, str) else merge
