"""How long a transcript can be at all: the audio bounds what a language model may write."""

import math

from tiny_audio.types import Seconds

_TOKENS_PER_SECOND = 6.5
_SPARE_TOKENS = 2


def max_tokens(duration: Seconds) -> int:
    """Tokens that speech of that duration can have at most, without the end of the turn.

    Of 1.2 h of read, telephone and spontaneous English no utterance had more than 4.3 tokens a second and two more. A
    longer text is a loop; it was cut, so flag it rather than trust its end.
    """
    return math.ceil(_TOKENS_PER_SECOND * duration) + _SPARE_TOKENS
