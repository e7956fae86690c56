"""Transcripts as HTML."""

import base64
import re
from html.parser import HTMLParser

from tiny_audio.demo.view import downloads_html, trace_html, words_html
from tiny_audio.inference.results import Segment, join_segments
from tiny_audio.inference.writers import Style, to_srt
from tiny_audio.models.words import Word

WORDS = (
    Word(text="a<b>", start=61.25, end=61.5, confidence=0.9),
    Word(text="maybe", start=61.5, end=62.0, confidence=0.2),
)
TRANSCRIPT = join_segments(
    (
        Segment(id=0, start=61.0, end=63.0, text="a<b> maybe", words=WORDS),
        Segment(id=1, start=64.0, end=65.0, text="", no_speech=True),
        Segment(id=2, start=65.0, end=66.0, text='"no" & times'),
    ),
    duration=66.0,
    warnings=("the file is <damaged>",),
)


class Reader(HTMLParser):
    """Collects elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_word_stands_over_its_time() -> None:
    page = Reader(words_html(TRANSCRIPT))

    assert {tag for tag, _ in page.elements} == {"div", "p", "span", "ruby", "rt"}
    assert page.text == '1:01 a<b>61.25 maybe61.501:05 "no" & timesthe file is <damaged>'
    assert [attributes.get("class") for tag, attributes in page.elements if tag == "ruby"] == [None, "doubtful"]


def test_nothing_heard_is_said() -> None:
    silence = join_segments((), duration=1.0)
    assert Reader(words_html(silence)).text == "No speech was heard."


def test_a_link_holds_the_file_itself() -> None:
    page = Reader(downloads_html(TRANSCRIPT, 'my "clip"'))

    links = [attributes for tag, attributes in page.elements if tag == "a"]
    assert [link["download"] for link in links] == [f'my "clip".{suffix}' for suffix in ("srt", "vtt", "json")]
    data = re.fullmatch(r"data:text/plain;charset=utf-8;base64,(.*)", links[0]["href"] or "")
    assert data
    assert base64.b64decode(data[1]).decode() == to_srt(TRANSCRIPT, Style())


def test_a_frame_holds_the_page_unchanged() -> None:
    page = '<!DOCTYPE html><p title="x">a & b</p><script>if (1 < 2) {}</script>'
    ((tag, attributes),) = Reader(trace_html(page)).elements
    assert (tag, attributes["srcdoc"]) == ("iframe", page)
