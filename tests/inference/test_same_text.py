"""The shipped model writes the same whatever the threads and whatever is transcribed beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tiny_audio.audio.io import load_audio
from tiny_audio.inference.recognizer import DType, Recognizer
from tiny_audio.models import int8
from tiny_audio.weights.store import SMOLLM2_135M, WHISPER_BASE, is_cached

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*.flac"), key=lambda path: path.stat().st_size)
DURATIONS = (1.5, 2.5, 2.0)
"""Of the clips, in seconds: cut in the middle of a word, where ties are near."""


@pytest.fixture(scope="module", params=["float32", "int8"])
def recognizer(request: pytest.FixtureRequest) -> Recognizer:
    dtype: DType = request.param
    if not EXAMPLES or not all(map(is_cached, (WHISPER_BASE, SMOLLM2_135M))):
        pytest.skip("needs the example clips and the frozen weights in the cache; run `make setup`")
    if dtype == "int8" and not int8.is_supported():
        pytest.skip("no 8-bit products on this CPU")
    return Recognizer.from_pretrained(dtype=dtype, device="cpu")


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_neither_threads_nor_neighbours_change_a_text(recognizer: Recognizer) -> None:
    waveforms = [
        load_audio(path)[: round(duration * 16_000)] for path, duration in zip(EXAMPLES, DURATIONS, strict=False)
    ]
    alone = [recognizer.transcribe_waveforms([waveform])[0].text for waveform in waveforms]
    assert all(alone)
    assert [one.text for one in recognizer.transcribe_waveforms(waveforms)] == alone
    torch.set_num_threads(2)  # one clip: on a busy machine threads wait for each other most of the time
    assert recognizer.transcribe_waveforms(waveforms[:1])[0].text == alone[0]


@pytest.mark.usefixtures("one_thread")
def test_threads_do_not_change_a_bit(recognizer: Recognizer) -> None:
    """A last bit is enough for 8-bit rounding to move log-probabilities by more than 1, and then some texts."""
    if not torch.backends.mkl.is_available():
        pytest.skip("only MKL can be told to add in one order")
    waveform = load_audio(EXAMPLES[0])[: 3 * 16_000]
    alone = recognizer.transcribe_waveforms([waveform])[0]
    torch.set_num_threads(2)
    assert recognizer.transcribe_waveforms([waveform])[0].avg_logprob == alone.avg_logprob
