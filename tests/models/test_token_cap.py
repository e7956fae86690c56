import pytest

from tiny_audio.models.token_cap import max_tokens


@pytest.mark.parametrize(("duration", "tokens"), [(0.05, 3), (1.0, 9), (2.0, 15), (30.0, 197)])
def test_the_cap_grows_with_the_audio_and_leaves_room_in_short_clips(duration: float, tokens: int) -> None:
    assert max_tokens(duration) == tokens
