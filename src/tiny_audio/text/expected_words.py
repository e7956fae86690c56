"""What a user says will be said."""


def expected_words(hotwords: str, prompt: str) -> list[str]:
    """The hotwords, and of a prompt its distinct words of more than three letters."""
    words = [" ".join(word.split()) for word in hotwords.split(",")]
    words += [word for word in (token.strip(".,;:!?\"'()") for token in prompt.split()) if len(word) > 3]
    return list(dict.fromkeys(word for word in words if word))
