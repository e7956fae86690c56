"""How the language model is asked, and how a transcript is written in its tokens.

A prompt is one turn of the language model's own chat format around the text of a task. The same function builds its
tokens in training and in inference. What a user or a speaker says is never read as a control token.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from tiny_audio.errors import CheckpointError, PromptError, UnknownNameError

AUDIO_TOKEN = "<|audio|>"
"""Stands for all audio embeddings in the text of a prompt."""
USER_PLACE = "{user}"
"""Stands for the user's text in a template."""
AUDIO_ID = -1
"""Stands for the audio among token ids; no vocabulary has it."""

TASKS = {
    "transcribe": f"Transcribe: {AUDIO_TOKEN}",
    "describe": f"Describe everything that can be heard: {AUDIO_TOKEN}",
    "emotion": f"Name the emotion of the speaker: {AUDIO_TOKEN}",
}
"""What the user says for each task. What a checkpoint was trained for, its configuration says."""


class Tokenizer(Protocol):
    """What we use of a `transformers` tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool = ..., split_special_tokens: bool = ...) -> list[int]:
        """Token ids of a text; with `split_special_tokens` a text such as `<|im_end|>` is only letters."""

    def decode(self, token_ids: Any, *, skip_special_tokens: bool = ...) -> Any:
        """Text of token ids."""

    def __len__(self) -> int:
        """Tokens of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """The words around the user's text; the trained part has seen these tokens and no others.

    The default is ChatML, the format of the SmolLM2 and Qwen families, without a system message: fewer tokens to
    compute, and nothing that changes with the date or the version of a chat template.
    """

    template: str = f"<|im_start|>user\n{USER_PLACE}<|im_end|>\n<|im_start|>assistant\n"
    """One turn of the chat up to where the answer begins."""
    end_of_turn: str = "<|im_end|>"
    """The one token behind an answer."""
    token_ids: tuple[int, ...] = ()
    """Tokens of the `transcribe` prompt as trained, `AUDIO_ID` for the audio; other tokens are refused at load."""


DEFAULT_PROMPT = PromptConfig()


def task_text(task: str) -> str:
    """The user's text for a task.

    Raises:
        UnknownNameError: there is no such task.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    return TASKS[task]


def question_text(question: str) -> str:
    """The user's text for a question about the audio, which comes behind it unless the question says where."""
    return question if AUDIO_TOKEN in question else f"{question} {AUDIO_TOKEN}"


def encode_prompt(
    tokenizer: Tokenizer, prompt: PromptConfig = DEFAULT_PROMPT, user: str = TASKS["transcribe"]
) -> tuple[list[int], list[int]]:
    """Token ids before and after the audio.

    Raises:
        PromptError: the user's text does not say where the audio is, or says it twice.
        CheckpointError: the template has no place for the user's text.
    """
    if (found := user.count(AUDIO_TOKEN)) != 1:
        raise PromptError(f"the prompt holds '{AUDIO_TOKEN}' {found} times; expected once, where the audio belongs")
    before, _, after = user.partition(AUDIO_TOKEN)
    opening, closing = _frame(prompt)
    return _encode(tokenizer, before, opening=opening), _encode(tokenizer, after, closing=closing)


def encode_text(tokenizer: Tokenizer, prompt: PromptConfig, user: str) -> list[int]:
    """Token ids of a prompt without audio.

    Raises:
        CheckpointError: the template has no place for the user's text.
    """
    opening, closing = _frame(prompt)
    return _encode(tokenizer, user, opening=opening, closing=closing)


def prompt_token_ids(tokenizer: Tokenizer, prompt: PromptConfig) -> tuple[int, ...]:
    """Tokens of the `transcribe` prompt, `AUDIO_ID` for the audio."""
    before, after = encode_prompt(tokenizer, prompt)
    return (*before, AUDIO_ID, *after)


def check_prompt(tokenizer: Tokenizer, prompt: PromptConfig) -> None:
    """Refuse a tokenizer that writes the prompt in other tokens than those that were trained on.

    Raises:
        CheckpointError: it does; says both. Nothing is checked where the configuration stores no tokens.
    """
    found = prompt_token_ids(tokenizer, prompt)
    if prompt.token_ids and found != prompt.token_ids:
        raise CheckpointError(
            f"the prompt's tokens are {list(found)}, expected {list(prompt.token_ids)} as in training; "
            "use the tokenizer and the template that the checkpoint was trained with"
        )


def end_token_id(tokenizer: Tokenizer, prompt: PromptConfig) -> int:
    """The token that ends a turn.

    Raises:
        CheckpointError: the tokenizer has no single token for it.
    """
    token_ids = tokenizer.encode(prompt.end_of_turn, add_special_tokens=False)
    if len(token_ids) != 1:
        raise CheckpointError(
            f"the end of a turn '{prompt.end_of_turn}' has tokens {token_ids}, expected exactly one; "
            "take the prompt of this language model's own chat template"
        )
    return token_ids[0]


def prompt_from_chat_template(tokenizer: Any) -> PromptConfig:
    """The prompt of a tokenizer that brings a chat template: its user turn alone, with thinking switched off.

    System messages are left out, because chat templates write the date or a model's name into them. The result is
    plain text, so later versions of the template change nothing.

    Raises:
        CheckpointError: no chat template, or one that does not repeat the user's text as it is.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise CheckpointError("the tokenizer has no chat template; give the prompt's template and end of turn instead")
    answer = "{answer}"
    turn = [{"role": "user", "content": USER_PLACE}]
    rendered = _render(tokenizer, turn, add_generation_prompt=True)
    answered = _render(tokenizer, [*turn, {"role": "assistant", "content": answer}], add_generation_prompt=False)
    if rendered.count(USER_PLACE) != 1 or answered.count(answer) != 1:
        raise CheckpointError("the chat template changes the user's text; give the prompt's template instead")
    ending = answered.partition(answer)[2]
    control = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    present = [token for token in control if token in ending]
    end_of_turn = min(present, key=ending.index, default=tokenizer.eos_token)
    opening, _, closing = rendered.partition(USER_PLACE)
    if end_of_turn in opening:  # a system message stands in front
        start = tokenizer.bos_token if tokenizer.bos_token and opening.startswith(tokenizer.bos_token) else ""
        own = opening.rpartition(end_of_turn)[2].lstrip()
        opening = own if own.startswith(start) else start + own
    return PromptConfig(template=opening + USER_PLACE + closing, end_of_turn=end_of_turn)


def encode_transcript(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a transcript, with a space in front.

    So the first word is the same token as in the middle of a sentence, and the CTC draft is written in exactly the
    tokens that the language model will be asked for.
    """
    return tokenizer.encode(" " + " ".join(text.split()), add_special_tokens=False, split_special_tokens=True)


def decode_transcript(tokenizer: Tokenizer, token_ids: list[int]) -> str:
    """Text of the tokens of a transcript, on one line."""
    return " ".join(tokenizer.decode(token_ids, skip_special_tokens=True).split())


def _frame(prompt: PromptConfig) -> tuple[str, str]:
    """The template before and after the user's text; no format string, because templates may hold braces."""
    opening, place, closing = prompt.template.partition(USER_PLACE)
    if not place:
        raise CheckpointError(f"the prompt's template {prompt.template!r} has no '{USER_PLACE}'; expected exactly one")
    return opening, closing


def _encode(tokenizer: Tokenizer, text: str, *, opening: str = "", closing: str = "") -> list[int]:
    """Token ids of a template around a text that may be anybody's: in one go, unless that holds a control token."""
    harmless = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    if harmless == tokenizer.encode(text, add_special_tokens=False):
        return tokenizer.encode(opening + text + closing, add_special_tokens=False)
    return [
        *tokenizer.encode(opening, add_special_tokens=False),
        *harmless,
        *tokenizer.encode(closing, add_special_tokens=False),
    ]


def _render(tokenizer: Any, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
    return tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=add_generation_prompt, enable_thinking=False
    )
