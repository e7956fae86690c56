"""What a language model is asked about an utterance: what it thinks of texts, and what it would write itself.

With the sound it is a listener, without it a reader that knows which sentences are likely. Both are the same weights,
and questions about many utterances share their passes.

Shapes: L prompt rows, A audio tokens, E width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tiny_audio.models.llama_runner import KVCache, LlamaRunner
from tiny_audio.models.local_scores import LocalDrafts
from tiny_audio.models.speculative import Decoded, DraftedPrompt, decode
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.models.splice import splice_audio
from tiny_audio.text.prompts import (
    PromptConfig,
    Tokenizer,
    encode_prompt,
    encode_transcript,
    end_token_id,
    task_text,
)


class LLMPrompt:
    """The prompt of a task as embeddings, without the language model behind it."""

    def __init__(
        self,
        prompt: PromptConfig,
        tokenizer: Tokenizer,
        table_VE: Tensor,
        speech_llm: SpeechLLM | None,
        *,
        task: str = "transcribe",
    ) -> None:
        self.end_id = end_token_id(tokenizer, prompt)
        self.end_ids = frozenset(speech_llm.end_ids if speech_llm is not None else {self.end_id})
        self._before, self._after = encode_prompt(tokenizer, prompt, task_text(task))
        self._table_VE = table_VE

    def embed(self, audio_AE: Tensor) -> Tensor:
        """`(L, E)` around one utterance."""
        placeholder = len(self._table_VE)
        ids_1L = torch.tensor([[*self._before, *[placeholder] * len(audio_AE), *self._after]], device=audio_AE.device)
        tokens_1LE = self._table_VE[ids_1L.masked_fill(ids_1L == placeholder, 0)]
        return splice_audio(tokens_1LE, [audio_AE], ids_1L, placeholder)[0]


@dataclass(frozen=True, kw_only=True)
class Question:
    """About one utterance."""

    audio_AE: Tensor | None = None
    """None: about texts alone."""
    texts: Sequence[str] = ()
    """Whose probability is asked; the first is also what the model's own text is expected to be like."""
    is_local: bool = False
    """The others differ from the first in one place, and are read no further than a little behind it."""
    max_tokens: int = 0
    """That it may write; 0: it only reads."""
    cache: KVCache | None = None
    """Of an earlier answer about the same audio."""


class RunnerAnswers:
    """Answers of a language model that a `LlamaRunner` runs.

    Args:
        runner: the language model.
        prompt: of the task.
        tokenizer: the language model's.
    """

    def __init__(self, runner: LlamaRunner, prompt: LLMPrompt, tokenizer: Tokenizer) -> None:
        self._runner, self._prompt, self._tokenizer = runner, prompt, tokenizer
        self._silent_LE = prompt.embed(runner.table_VE[:0])
        # The prompt of a reader is always the same: it is read once.
        (read,) = self._decode([DraftedPrompt(embeds_LE=self._silent_LE, max_tokens=0)])
        self._silent_cache = read.cache

    def ask(self, questions: Sequence[Question]) -> list[Decoded]:
        """One answer each."""
        token_ids = [[encode_transcript(self._tokenizer, text) for text in one.texts] for one in questions]
        near = [
            LocalDrafts(own[0], own[1:]) if one.is_local and own else None
            for one, own in zip(questions, token_ids, strict=True)
        ]
        found = self._decode(
            [
                DraftedPrompt(
                    embeds_LE=self._silent_LE if one.audio_AE is None else self._prompt.embed(one.audio_AE),
                    drafts=local.drafts if local else own,
                    beginnings=local.beginnings if local else (),
                    max_tokens=one.max_tokens,
                    cache=self._cache_of(one),
                )
                for one, own, local in zip(questions, token_ids, near, strict=True)
            ]
        )
        for local, answer in zip(near, found, strict=True):
            if local:
                answer.draft_log_probs = local.log_probs(answer)
        return found

    def _cache_of(self, question: Question) -> KVCache | None:
        if question.audio_AE is not None or self._silent_cache is None:
            return question.cache
        return self._silent_cache.copy()

    def _decode(self, prompts: Sequence[DraftedPrompt]) -> list[Decoded]:
        return decode(self._runner, prompts, end_id=self._prompt.end_id, end_ids=self._prompt.end_ids)


class ModuleAnswers:
    """Answers of any language model of `transformers`, one question after the other; texts are always read whole.

    Args:
        speech_llm: the language model.
        tokenizer: its own.
    """

    def __init__(self, speech_llm: SpeechLLM, tokenizer: Tokenizer) -> None:
        self._speech_llm, self._tokenizer = speech_llm, tokenizer

    def ask(self, questions: Sequence[Question]) -> list[Decoded]:
        """One answer each."""
        return [self._ask(one) for one in questions]

    def _ask(self, question: Question) -> Decoded:
        audio_AE = (
            self._speech_llm.llm.get_input_embeddings().weight[:0] if question.audio_AE is None else question.audio_AE
        )
        drafts = [encode_transcript(self._tokenizer, text) for text in question.texts]
        if not question.max_tokens:
            scores = self._speech_llm.score(audio_AE, drafts) if drafts else []
            return Decoded(draft_log_probs=scores, num_passes=2)
        written = self._speech_llm.greedy_search(audio_AE, max_tokens=question.max_tokens)
        *scores, log_prob = self._speech_llm.score(audio_AE, [*drafts, written])
        return Decoded(draft_log_probs=scores, token_ids=written, log_prob=log_prob, num_passes=len(written) + 2)
