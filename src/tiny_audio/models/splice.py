"""Put audio embeddings where the prompt holds placeholders."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tiny_audio.errors import AudioTokenMismatchError


def splice_audio(
    token_embeds_BLE: Tensor, audio_embeds: Sequence[Tensor], input_ids_BL: Tensor, audio_token_id: int
) -> Tensor:
    """Return a copy of `token_embeds_BLE` with audio embeddings at the placeholder positions.

    Args:
        token_embeds_BLE: text embeddings `(B, L, E)`.
        audio_embeds: one `(A, E)` tensor a row, unpadded.
        input_ids_BL: token ids `(B, L)`; each row holds exactly as many placeholders as it has audio tokens.
        audio_token_id: the placeholder.

    Raises:
        AudioTokenMismatchError: the numbers differ in a row. Going on would shift every later embedding without any
            visible sign.
    """
    is_audio_BL = input_ids_BL == audio_token_id
    expected = [len(embeds) for embeds in audio_embeds]
    found = is_audio_BL.sum(dim=1).tolist()
    if found != expected:
        raise AudioTokenMismatchError(found=found, expected=expected)
    flat = torch.cat(list(audio_embeds)).to(token_embeds_BLE.dtype)
    return token_embeds_BLE.masked_scatter(is_audio_BL.unsqueeze(-1), flat)
