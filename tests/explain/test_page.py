"""The page holds the whole trace, nothing of elsewhere, and no more bytes than a mail can carry."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from explain.conftest import CLIP, WAVEFORM
from miniatures import noise
from tiny_audio.explain.clip import Clip
from tiny_audio.explain.page.page import trace_page
from tiny_audio.explain.page.wording import number, share, visible
from tiny_audio.explain.trace import Trace
from tiny_audio.explain.tracing import trace_clip
from tiny_audio.models.asr_model import ASRModel

KINDS = ("aligned", "padded", "unaligned", "ctc")
PANELS = ["waveform", "mel", "encoder", "projector", "ctc"]


@pytest.fixture(params=KINDS)
def trace(request: pytest.FixtureRequest) -> Trace:
    return request.getfixturevalue(f"{request.param}_trace")


def page_of(trace: Trace) -> str:
    return trace_page(trace, CLIP, model="tiny")


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


class _Tags(HTMLParser):
    """Checks that tags close in order."""

    VOID = ("meta", "i", "input", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_page_is_whole_and_asks_for_nothing(trace: Trace) -> None:
    page = page_of(trace)
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert [key for key in tags.ids if key in PANELS] == PANELS
    assert all(address.startswith("data:") for address in tags.addresses)
    assert "://" not in page
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_every_axis_ends_with_the_clip(trace: Trace) -> None:
    page = page_of(trace)
    drawn = 5 - page.count("panel absent") - sum(part is None for part in (trace.projector, trace.ctc))
    ends = re.findall(r'class="end">([^<]*)<', page)
    assert ends == ["1.50 s"] * drawn
    ticks = [float(place) for place in re.findall(r'<span style="left:([\d.]+)%">[\d.]+</span>', page)]
    assert max(ticks) < 100


def test_heat_maps_come_back_as_they_were(aligned_trace: Trace) -> None:
    packed = data_of(page_of(aligned_trace))["encoder"]
    steps = np.frombuffer(base64.b64decode(packed["bytes"]), np.int8).reshape(packed["rows"], packed["frames"])
    values = aligned_trace.encoder.values_NT
    limit = np.percentile(np.abs(values), 99)
    np.testing.assert_allclose(steps * packed["unit"], values.clip(-limit, limit), atol=packed["unit"])
    assert packed["dims"] == list(aligned_trace.encoder.dims_N)


def test_the_sound_is_the_clip_to_the_last_sample(aligned_trace: Trace) -> None:
    encoded = re.search(r'src="data:audio/flac;base64,([^"]*)"', page_of(aligned_trace))[1]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)), dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(samples, WAVEFORM, atol=1 / 2**15)


def test_what_a_model_lacks_is_said(unaligned_trace: Trace, ctc_trace: Trace) -> None:
    assert "was not aligned with CTC" in page_of(unaligned_trace)
    assert 'id="answer"' in page_of(unaligned_trace)
    assert "has no projector" in page_of(ctc_trace)
    assert "has no language model" in page_of(ctc_trace)


def test_padding_is_shown_only_where_there_is_some(padded_trace: Trace, aligned_trace: Trace) -> None:
    assert 'class="padding"' in page_of(padded_trace)
    assert "28.50 s of silence" in page_of(padded_trace)
    assert 'class="padding"' not in page_of(aligned_trace)


def test_a_name_cannot_break_out(aligned_trace: Trace) -> None:
    page = trace_page(aligned_trace, Clip(name="</title><script>alert(1)</script>", waveform=WAVEFORM), model="<b>")
    assert "<script>alert" not in page
    assert "<b><b></b>" not in page


def test_every_word_and_every_token_can_be_read(aligned_trace: Trace) -> None:
    page = page_of(aligned_trace)
    assert page.count('class="word"') == len(aligned_trace.words)
    assert page.count('class="audio"') == len(aligned_trace.prompt.audio)
    assert page.count("<li class=") == len(aligned_trace.answer)


def test_a_part_of_a_recording_says_where_it_is_from(aligned_trace: Trace) -> None:
    page = trace_page(aligned_trace, Clip(name="a", waveform=WAVEFORM, start=12.5, is_whole=False), model="tiny")
    assert "from 12.50 s on" in page


def test_30_seconds_are_less_than_3_megabytes(aligned: ASRModel) -> None:
    waveform = noise(30 * 16_000)  # which no codec makes smaller
    page = trace_page(trace_clip(aligned, waveform), Clip(name="noise", waveform=waveform), model="tiny")
    assert len(page.encode()) < 3_000_000


@pytest.mark.parametrize(
    ("probability", "written"), [(1.0, "100 %"), (0.9996, "> 99.9 %"), (0.5, "50.0 %"), (1e-5, "< 0.1 %")]
)
def test_a_probability_is_never_rounded_to_certainty(probability: float, written: str) -> None:
    assert share(probability) == written


def test_numbers_and_tokens_as_they_are_written() -> None:
    assert number(-0.00001) == "0.0000"
    assert number(-1.5, 2) == "\N{MINUS SIGN}1.50"
    assert visible(" a\n\x12") == "·a⏎□"
