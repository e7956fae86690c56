"""Plain Whisper (arXiv 2212.04356): the whole model, greedy, on a padded 30 s window as it was trained.

It labels training speech and is the baseline to beat; Tiny Audio's own model uses only the encoder.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tiny_audio.errors import UnknownNameError
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.precision import autocast
from tiny_audio.types import Waveform
from tiny_audio.weights.ctranslate2 import read_whisper, whisper_dims
from tiny_audio.weights.store import (
    WHISPER_BASE,
    WHISPER_BASE_CONFIG,
    WHISPER_BASE_TOKENIZER,
    WHISPER_TINY_EN,
    WHISPER_TINY_EN_CONFIG,
    WHISPER_TINY_EN_TOKENIZER,
    fetch,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
ENGLISH_PROMPT = ("<|startoftranscript|>", "<|notimestamps|>")
"""Of the English-only models, which know no other language and no other task."""
END_TOKEN = "<|endoftext|>"
CACHED = {
    "whisper-base": (WHISPER_BASE, WHISPER_BASE_TOKENIZER, WHISPER_BASE_CONFIG, PROMPT),
    "whisper-tiny.en": (WHISPER_TINY_EN, WHISPER_TINY_EN_TOKENIZER, WHISPER_TINY_EN_CONFIG, ENGLISH_PROMPT),
}
"""Models in the weights store: model, tokenizer, settings, prompt."""
MAX_NEW_TOKENS = 224
"""Half of the text positions, as in the original; a transcript of 30 s that is longer has run into a loop."""


class WhisperTranscriber(nn.Module):
    """Waveforms to English text.

    Args:
        state: encoder and decoder weights under Hugging Face names (`read_whisper`).
        tokenizer: Whisper's own; holds the tokens of the prompt.
        suppressed: token ids never to write: marks of music and speakers, and control tokens.
        suppressed_first: token ids that may not come first: a blank, and the end.
        prompt: tokens before the text.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        tokenizer: "Tokenizer",
        *,
        suppressed: Sequence[int] = (),
        suppressed_first: Sequence[int] = (),
        prompt: Sequence[str] = PROMPT,
    ) -> None:
        super().__init__()
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperDecoder

        dims = whisper_dims(state)
        config = WhisperConfig(
            vocab_size=dims.vocab_size,
            d_model=dims.width,
            decoder_layers=dims.num_decoder_layers,
            decoder_attention_heads=dims.num_heads,
            decoder_ffn_dim=dims.ffn_width,
            max_target_positions=dims.num_text_positions,
            pad_token_id=None,  # its default lies outside a small vocabulary
        )
        self.max_new_tokens = min(MAX_NEW_TOKENS, dims.num_text_positions - len(prompt))
        self.tokenizer = tokenizer
        self.encoder = WhisperEncoder.from_state_dict(state, pad_to_window=True)
        with torch.device("meta"):
            self.decoder = WhisperDecoder(config)
        prefix = "model.decoder."
        own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        self.decoder.load_state_dict(own, assign=True)
        self.requires_grad_(False).eval()
        self.prompt_ids = [_token_id(tokenizer, token) for token in prompt]
        self.end_id = _token_id(tokenizer, END_TOKEN)
        bans_V = torch.zeros(2, dims.vocab_size)
        bans_V[:, list(suppressed)] = -torch.inf
        bans_V[0, list(suppressed_first)] = -torch.inf
        self.first_ban_V, self.ban_V = bans_V

    @classmethod
    def from_cache(cls, name: str = "whisper-base") -> "WhisperTranscriber":
        """A Whisper of the weights store (`CACHED`); fetches it where it is missing.

        Raises:
            UnknownNameError: the store has no such model.
            WeightsError: a file cannot be had.
        """
        from tokenizers import Tokenizer

        if name not in CACHED:
            raise UnknownNameError("Whisper model", name, CACHED)
        model, tokenizer, config, prompt = CACHED[name]
        settings = json.loads(fetch(config).read_text())
        return cls(
            read_whisper(fetch(model)),
            Tokenizer.from_file(str(fetch(tokenizer))),
            suppressed=settings["suppress_ids"],
            suppressed_first=settings["suppress_ids_begin"],
            prompt=prompt,
        )

    def transcribe(self, waveforms: Sequence[Waveform], *, fast: bool = False) -> list[str]:
        """Text of each waveform, with Whisper's own case and punctuation.

        Args:
            waveforms: at most 30 s each; they are one batch.
            fast: encode in bfloat16 where the hardware does; a word in some hundred may come out differently.

        Raises:
            AudioError: a waveform is longer than 30 s.
        """
        if not waveforms:
            return []
        input_features, lengths_B = self.encoder.features(waveforms)
        with torch.inference_mode():
            # Only the encoder: the decoder reads all its weights for a few tokens, and converting them costs more.
            with autocast(self.encoder.conv1.weight.device, enabled=fast):
                encoded_BTD = self.encoder(input_features, lengths_B).last_hidden_state
            rows = self.greedy_search(encoded_BTD.float())
        # Ids from the end token on are control tokens and timestamps.
        return [self.tokenizer.decode([token for token in row if token < self.end_id]).strip() for row in rows]

    @torch.inference_mode()
    def greedy_search(self, encoded_BTD: Tensor) -> list[list[int]]:
        """The likeliest token at every step, for each row until its end token (left out)."""
        from transformers import DynamicCache, EncoderDecoderCache

        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        num_rows = len(encoded_BTD)
        step_BL = torch.tensor([self.prompt_ids] * num_rows)
        rows: list[list[int]] = [[] for _ in range(num_rows)]
        running = set(range(num_rows))
        for position in range(self.max_new_tokens):
            hidden_BLD = self.decoder(
                input_ids=step_BL, encoder_hidden_states=encoded_BTD, past_key_values=cache, use_cache=True
            ).last_hidden_state
            logits_BV = nn.functional.linear(hidden_BLD[:, -1], self.decoder.embed_tokens.weight)
            tokens_B = (logits_BV + (self.ban_V if position else self.first_ban_V)).argmax(-1)
            for row, token in enumerate(tokens_B.tolist()):
                if token == self.end_id:
                    running.discard(row)
                elif row in running:
                    rows[row].append(token)
            if not running:
                break
            step_BL = tokens_B[:, None]
        return rows


def _token_id(tokenizer: "Tokenizer", token: str) -> int:
    token_id = tokenizer.token_to_id(token)
    assert token_id is not None, f"Whisper's tokenizer holds no '{token}'"
    return int(token_id)
