"""The language model with audio in its prompt: training loss, scores of hypotheses, and writing.

Shapes: B batch, A audio tokens, E LLM width, L LLM sequence, N hypotheses, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.errors import CheckpointError
from tiny_audio.models.lora import adapters_disabled
from tiny_audio.models.splice import splice_audio
from tiny_audio.text.prompts import (
    DEFAULT_PROMPT,
    TASKS,
    PromptConfig,
    Tokenizer,
    encode_prompt,
    encode_text,
    end_token_id,
)

if TYPE_CHECKING:
    from transformers import DynamicCache

IGNORE_INDEX = -100

Choice = Callable[[Tensor], Tensor]
"""From logits `(B, V)` to the next tokens `(B,)`."""


def likeliest(logits_BV: Tensor) -> Tensor:
    """The token with the highest logit: greedy search."""
    return logits_BV.argmax(dim=-1)


def sampled(*, temperature: float, generator: torch.Generator | None = None) -> Choice:
    """Tokens drawn from the model's distribution; the higher the temperature (above 0), the more varied."""

    def choose(logits_BV: Tensor) -> Tensor:
        return (logits_BV.float() / temperature).softmax(dim=-1).multinomial(1, generator=generator)[:, 0]

    return choose


class Turn(NamedTuple):
    """What one row of a batch asks."""

    audio_AE: Tensor | None = None
    """Audio embeddings; None: a question in writing alone."""
    user: str = TASKS["transcribe"]
    """The user's text, with `AUDIO_TOKEN` where the audio belongs."""


class SpeechLLM(nn.Module):
    """A causal language model (any `transformers` class, embeddings tied or not) that reads audio embeddings.

    The placeholder of the prompt is the id one behind the vocabulary: it is in no table, so it can never be generated.

    Raises:
        CheckpointError: the tokenizer does not belong to the language model, or has no token for the end of a turn.
    """

    def __init__(self, llm: Any, tokenizer: Tokenizer, prompt: PromptConfig = DEFAULT_PROMPT) -> None:
        super().__init__()
        self.llm = llm
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.end_id = end_token_id(tokenizer, prompt)
        stops = llm.generation_config.eos_token_id
        self.end_ids = {self.end_id, *([stops] if isinstance(stops, int) else stops or [])}
        """Ends of the turn in what the model writes; in training it is always `end_id`."""
        self.audio_token_id = len(llm.get_input_embeddings().weight)
        if len(tokenizer) > self.audio_token_id:
            raise CheckpointError(
                f"the tokenizer has {len(tokenizer)} tokens, the language model {self.audio_token_id}; "
                "expected the language model's own tokenizer"
            )

    def embed(self, input_ids_BL: Tensor, audio_embeds: Sequence[Tensor]) -> Tensor:
        """Embeddings `(B, L, E)` of prompts whose placeholders stand for `audio_embeds`."""
        is_audio_BL = input_ids_BL == self.audio_token_id
        embeds_BLE = self.llm.get_input_embeddings()(input_ids_BL.masked_fill(is_audio_BL, 0))
        return splice_audio(embeds_BLE, audio_embeds, input_ids_BL, self.audio_token_id)

    def prompt_ids(self, num_audio_tokens: int, user: str = TASKS["transcribe"]) -> list[int]:
        """The prompt with that many placeholders."""
        before, after = encode_prompt(self.tokenizer, self.prompt, user)
        return [*before, *[self.audio_token_id] * num_audio_tokens, *after]

    def loss(
        self,
        audio_embeds: Sequence[Tensor],
        answers: Sequence[Sequence[int]],
        users: Sequence[str] | None = None,
        *,
        divisor: int | None = None,
    ) -> Tensor:
        """Mean cross-entropy of the answers' tokens and of the end of the turn; prompt and audio are not predicted.

        Args:
            audio_embeds: one `(A, E)` tensor a row; gradients reach what made them.
            answers: token ids of what is to be written, without the end of the turn.
            users: what the user says in each row; None: the text of `transcribe`.
            divisor: of the sum over all tokens, where these rows are a part of a larger whole; None: their number.
        """
        logits_NV, labels_N = self.answer_logits(audio_embeds, answers, users)
        return F.cross_entropy(logits_NV, labels_N, reduction="sum") / (divisor or len(labels_N))

    def answer_logits(
        self, audio_embeds: Sequence[Tensor], answers: Sequence[Sequence[int]], users: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the model expects at every token of the answers and at each end of the turn, with the answers before.

        Returns:
            Logits `(N, V)`, float32, and the tokens `(N,)`, row behind row.
        """
        rows = [
            [*self.prompt_ids(len(embeds), user), *answer, self.end_id]
            for embeds, answer, user in zip(
                audio_embeds, answers, users or [TASKS["transcribe"]] * len(answers), strict=True
            )
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
        hidden_BLE = self._read(
            inputs_embeds=self.embed(input_ids_BL, audio_embeds), attention_mask=mask_BL, use_cache=False
        )
        # The head costs one column a token of the vocabulary: only positions with a label get it.
        predicts_BL = labels_BL[:, 1:] != IGNORE_INDEX
        return self._logits(hidden_BLE[:, :-1][predicts_BL]).float(), labels_BL[:, 1:][predicts_BL]

    def _new_cache(self) -> "DynamicCache":
        from transformers import DynamicCache  # here: who only transcribes needs none, and it takes half a second

        return DynamicCache(config=self.llm.config)

    def prefill(self, audio_embeds_AE: Tensor) -> tuple["DynamicCache", Tensor]:
        """Read the prompt with one utterance; returns the key-value cache and the logits of the first answer token."""
        input_ids_1L = torch.tensor([self.prompt_ids(len(audio_embeds_AE))], device=audio_embeds_AE.device)
        cache = self._new_cache()
        hidden_1LE = self._read(inputs_embeds=self.embed(input_ids_1L, [audio_embeds_AE]), past_key_values=cache)
        return cache, self._logits(hidden_1LE[:, -1])

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
            hidden_NLE = self._read(input_ids=input_ids_NL, past_key_values=cache, position_ids=positions_1L)
            # Rows end at different places, but padding follows the end, where causal attention does not look.
            real_NL = targets_NL[:, 1:] != IGNORE_INDEX
            losses = F.cross_entropy(
                self._logits(hidden_NLE[real_NL]).float(), targets_NL[:, 1:][real_NL], reduction="none"
            )
            rows_N = real_NL.nonzero()[:, 0]
            log_probs_N = log_probs_N.index_add(0, rows_N, -losses)
        return log_probs_N.tolist()

    def greedy_search(self, audio_embeds_AE: Tensor, *, max_tokens: int) -> list[int]:
        """The likeliest next token, again and again, until the end of the turn or `max_tokens`."""
        return self.generate([Turn(audio_embeds_AE)], max_tokens=max_tokens)[0]

    @torch.inference_mode()
    def generate(
        self, turns: Sequence[Turn], *, max_tokens: int | Sequence[int] = 256, choose: Choice = likeliest
    ) -> list[list[int]]:
        """Answers as token ids, without the end of the turn; what stands beside a row changes nothing in it.

        Args:
            turns: what is asked. A turn without audio is answered by the plain language model, adapters off.
            max_tokens: for all rows, or one limit a row.
            choose: how the next tokens are chosen.
        """
        limits = [max_tokens] * len(turns) if isinstance(max_tokens, int) else max_tokens
        answers: list[list[int]] = [[] for _ in turns]
        asked = [row for row, limit in zip(range(len(turns)), limits, strict=True) if limit > 0]
        for plain in (False, True):
            rows = [row for row in asked if (turns[row].audio_AE is None) == plain]
            for index, token in self._write([turns[row] for row in rows], [limits[row] for row in rows], choose):
                answers[rows[index]].append(token)
        return answers

    @torch.inference_mode()
    def stream(self, turn: Turn, *, max_tokens: int = 256, choose: Choice = likeliest) -> Iterator[str]:
        """The answer in pieces of whole characters, as they are written; together they are the decoded answer."""
        token_ids: list[int] = []
        shown = text = ""
        for _, token in self._write([turn] if max_tokens > 0 else [], [max_tokens], choose):
            token_ids.append(token)
            text = self.tokenizer.decode(token_ids, skip_special_tokens=True)
            if len(text) > len(shown) and not text.endswith("\N{REPLACEMENT CHARACTER}"):  # half a character
                yield text[len(shown) :]
                shown = text
        if len(text) > len(shown):
            yield text[len(shown) :]

    def _write(self, turns: Sequence[Turn], limits: Sequence[int], choose: Choice) -> Iterator[tuple[int, int]]:
        """Row and token, step by step; all turns have audio, or none has. Rows that have ended leave the batch."""
        if not turns:
            return
        plain = turns[0].audio_AE is None
        rows, left = list(range(len(turns))), list(limits)
        inputs, mask_BL = self._prompts(turns)
        is_padded = not bool(mask_BL.all())
        cache = self._new_cache()
        while True:
            if is_padded:
                positions_BL = (mask_BL.cumsum(dim=1) - 1).clamp(min=0)[:, cache.get_seq_length() :]
                inputs |= {"attention_mask": mask_BL, "position_ids": positions_BL}
            with adapters_disabled(self.llm) if plain else nullcontext():
                tokens_B = choose(self._logits(self._read(**inputs, past_key_values=cache)[:, -1]))
            going = []
            for index, token in enumerate(tokens_B.tolist()):
                if token not in self.end_ids:
                    yield rows[index], token
                    left[index] -= 1
                    if left[index]:
                        going.append(index)
            if not going:
                return
            if len(going) < len(rows):
                kept_B = torch.tensor(going, device=tokens_B.device)
                cache.batch_select_indices(kept_B)
                mask_BL, tokens_B = mask_BL[kept_B], tokens_B[kept_B]
                rows, left = [rows[index] for index in going], [left[index] for index in going]
            inputs, mask_BL = {"input_ids": tokens_B[:, None]}, F.pad(mask_BL, (0, 1), value=1)

    def _prompts(self, turns: Sequence[Turn]) -> tuple[dict[str, Any], Tensor]:
        """Embedded prompts, padded on the left so that all end together, and which places are real `(B, L)`."""
        table_VE = self.llm.get_input_embeddings().weight
        prompts = [
            encode_text(self.tokenizer, self.prompt, turn.user)
            if turn.audio_AE is None
            else self.prompt_ids(len(turn.audio_AE), turn.user)
            for turn in turns
        ]
        length = max(len(prompt) for prompt in prompts)
        input_ids_BL = torch.tensor([[self.end_id] * (length - len(prompt)) + prompt for prompt in prompts])
        mask_BL = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        no_audio_AE = table_VE.new_empty(0, table_VE.shape[1])
        audio = [no_audio_AE if turn.audio_AE is None else turn.audio_AE for turn in turns]
        embeds_BLE = self.embed(input_ids_BL.to(table_VE.device), audio)
        return {"inputs_embeds": embeds_BLE}, mask_BL.to(table_VE.device)

    def _read(self, *, use_cache: bool = True, **inputs: Any) -> Tensor:
        """Last hidden states `(B, L, E)`; without the output layer, which is needed in few places."""
        return self.llm.get_decoder()(**inputs, use_cache=use_cache).last_hidden_state

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.llm.get_output_embeddings()(hidden)
