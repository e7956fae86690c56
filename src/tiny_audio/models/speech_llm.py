"""The language model with audio in its prompt: training loss, scores of hypotheses, and greedy search.

Shapes: B batch, A audio tokens, E LLM width, L LLM sequence, N hypotheses.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache

from tiny_audio.models.splice import splice_audio
from tiny_audio.text.prompts import END_OF_TURN, Tokenizer, encode_prompt

IGNORE_INDEX = -100


class SpeechLLM(nn.Module):
    """A causal language model (a `transformers` class with tied embeddings) that reads audio embeddings.

    The placeholder of the prompt is the id one behind the vocabulary: it is in no table, so it can never be generated.
    """

    def __init__(self, llm: nn.Module, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.llm: Any = llm
        self.tokenizer = tokenizer
        self.before, self.after = encode_prompt(tokenizer)
        (self.end_id,) = tokenizer.encode(END_OF_TURN, add_special_tokens=False)
        self.audio_token_id = len(llm.get_input_embeddings().weight)  # type: ignore[operator, arg-type]

    def embed(self, input_ids_BL: Tensor, audio_embeds: Sequence[Tensor]) -> Tensor:
        """Embeddings `(B, L, E)` of prompts whose placeholders stand for `audio_embeds`."""
        is_audio_BL = input_ids_BL == self.audio_token_id
        embeds_BLE = self.llm.get_input_embeddings()(input_ids_BL.masked_fill(is_audio_BL, 0))
        return splice_audio(embeds_BLE, audio_embeds, input_ids_BL, self.audio_token_id)

    def prompt_ids(self, num_audio_tokens: int) -> list[int]:
        """The prompt with that many placeholders."""
        return [*self.before, *[self.audio_token_id] * num_audio_tokens, *self.after]

    def loss(self, audio_embeds: Sequence[Tensor], answers: Sequence[Sequence[int]]) -> Tensor:
        """Mean cross-entropy of the answers' tokens and of the end of the turn; prompt and audio are not predicted."""
        rows = [
            [*self.prompt_ids(len(embeds)), *answer, self.end_id]
            for embeds, answer in zip(audio_embeds, answers, strict=True)
        ]
        device = audio_embeds[0].device
        length = max(len(row) for row in rows)
        input_ids_BL = torch.full((len(rows), length), self.end_id, device=device)
        labels_BL = torch.full((len(rows), length), IGNORE_INDEX, device=device)
        mask_BL = torch.zeros(len(rows), length, dtype=torch.long, device=device)
        for index, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            input_ids_BL[index, : len(row)] = torch.tensor(row, device=device)
            mask_BL[index, : len(row)] = 1
            start = len(row) - len(answer) - 1
            labels_BL[index, start : len(row)] = input_ids_BL[index, start : len(row)]
        embeds_BLE = self.embed(input_ids_BL, audio_embeds)
        hidden_BLE = self.llm.model(inputs_embeds=embeds_BLE, attention_mask=mask_BL, use_cache=False).last_hidden_state
        # The head costs 49,152 columns a position: only positions with a label get it.
        predicts_BL = labels_BL[:, 1:] != IGNORE_INDEX
        logits = self.llm.lm_head(hidden_BLE[:, :-1][predicts_BL])
        return F.cross_entropy(logits.float(), labels_BL[:, 1:][predicts_BL])

    def prefill(self, audio_embeds_AE: Tensor) -> tuple[DynamicCache, Tensor]:
        """Read the prompt with one utterance; returns the key-value cache and the logits of the first answer token."""
        input_ids_1L = torch.tensor([self.prompt_ids(len(audio_embeds_AE))], device=audio_embeds_AE.device)
        cache = DynamicCache(config=self.llm.config)
        output = self.llm.model(
            inputs_embeds=self.embed(input_ids_1L, [audio_embeds_AE]), past_key_values=cache, use_cache=True
        )
        return cache, self.llm.lm_head(output.last_hidden_state[:, -1])

    def score(self, audio_embeds_AE: Tensor, hypotheses: Sequence[Sequence[int]]) -> list[float]:
        """Natural-log probability of each hypothesis (end of turn included) given one utterance's audio."""
        cache, first_logits_1V = self.prefill(audio_embeds_AE)
        prompt_length = cache.get_seq_length()
        cache.batch_repeat_interleave(len(hypotheses))
        length = max(len(hypothesis) for hypothesis in hypotheses)
        targets_NL = torch.full((len(hypotheses), length + 1), IGNORE_INDEX)
        for row, hypothesis in zip(targets_NL, hypotheses, strict=True):
            row[: len(hypothesis) + 1] = torch.tensor([*hypothesis, self.end_id])
        targets_NL = targets_NL.to(audio_embeds_AE.device)
        log_probs_N = -F.cross_entropy(
            first_logits_1V.float().expand(len(hypotheses), -1), targets_NL[:, 0], reduction="none"
        )
        if length:
            input_ids_NL = targets_NL[:, :-1].masked_fill(targets_NL[:, :-1] == IGNORE_INDEX, self.end_id)
            positions_1L = torch.arange(prompt_length, prompt_length + length, device=input_ids_NL.device)[None]
            hidden_NLE = self.llm.model(
                input_ids=input_ids_NL, past_key_values=cache, position_ids=positions_1L, use_cache=True
            ).last_hidden_state
            # Rows end at different places, but padding follows the end, where causal attention does not look.
            real_NL = targets_NL[:, 1:] != IGNORE_INDEX
            losses = F.cross_entropy(
                self.llm.lm_head(hidden_NLE[real_NL]).float(), targets_NL[:, 1:][real_NL], reduction="none"
            )
            rows_N = real_NL.nonzero()[:, 0]
            log_probs_N = log_probs_N.index_add(0, rows_N, -losses)
        return log_probs_N.tolist()

    def greedy_search(self, audio_embeds_AE: Tensor, *, max_tokens: int) -> list[int]:
        """The likeliest next token, again and again, until the end of the turn or `max_tokens`."""
        cache, logits_1V = self.prefill(audio_embeds_AE)
        token_ids: list[int] = []
        while len(token_ids) < max_tokens:
            token = int(logits_1V.argmax())
            if token == self.end_id:
                break
            token_ids.append(token)
            hidden = self.llm.model(
                input_ids=torch.tensor([[token]], device=audio_embeds_AE.device), past_key_values=cache, use_cache=True
            ).last_hidden_state
            logits_1V = self.llm.lm_head(hidden[:, -1])
        return token_ids
