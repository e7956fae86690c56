"""The files of a report as their readers see them: JSON, lines, Markdown, and HTML through a parser."""

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_audio.audio.noise import SNR_KEY
from tiny_audio.evaluation.report import write_report
from tiny_audio.evaluation.results import SystemResult, UtteranceResult
from tiny_audio.evaluation.scoring import build_scorer

HOSTILE = "</script><script>alert('x')</script> & <b>bold</b>"
LOOP = " ".join(["and so on"] * 30)
# reference, hypothesis, problem: 8 errors in 17 words of speech, and 4 words where none was said
SAID = [
    ("the cat sat", "the bat sat down", ""),
    ("yes", "yes", ""),
    ("it is a very long day", "it is a long day", ""),
    ("", "thanks for watching this", ""),
    ("nobody heard this", "", "the file is cut off"),
    ("say nothing", "", ""),
    ("a b", "a b", ""),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "a clip #1.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32), 16_000)
    return path


def system(name: str = "ours", *, said=SAID, audio: Path | None = None, seconds: float = 0.1) -> SystemResult:
    results = [
        UtteranceResult(
            id=f"utterance-{number}",
            reference=reference,
            hypothesis=hypothesis,
            problem=problem,
            audio=audio,
            duration=0.5 + 4 * number,
            speaker=f"speaker {number % 3}",
            wall_seconds=seconds,
            extra={SNR_KEY: 3.0 + 9 * number},
        )
        for number, (reference, hypothesis, problem) in enumerate(said)
    ]
    return build_scorer(normalizer="none").score_system(name, results, dataset="set of seven")


class Page(HTMLParser):
    """What is in a page: elements with their attributes, text by the element that it stands in, and rows of tables."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.text = (folder / "report.html").read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "input"}:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, "elements are nested"

    def handle_data(self, data):
        if "script" in self._open:
            self.scripts[-1] += data
        elif {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ")

    def row(self, head: str) -> list[str]:
        (found,) = [row for row in self.rows if row[0].startswith(head)]
        return [cell.strip() for cell in found[1:]]

    def items(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "li" and "data-place" in attributes]

    def has(self, tag: str, **wanted: str) -> bool:
        return any(name == tag and wanted.items() <= attributes.items() for name, attributes in self.elements)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]


def scores(folder: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((folder / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_files_agree_with_each_other(tmp_path):
    write_report([system()], tmp_path, {"seed": 42})

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.html",
        "results.json",
        "results.jsonl",
        "summary.md",
    ]
    numbers, rows, page = scores(tmp_path), lines(tmp_path), Page(tmp_path)
    assert (numbers["errors"], numbers["reference_words"], numbers["invented_words"]) == (8, 17, 4)
    assert numbers["settings"] == {"seed": 42}
    assert [row["id"] for row in rows] == [f"utterance-{number}" for number in range(7)]
    speech = [row for row in rows if row["reference_words"]]
    for kind in ("substitutions", "deletions", "insertions"):
        assert sum(row[kind] for row in speech) == numbers[kind]
    # On the page each error of the listed utterances is marked once; the legend has one of each kind.
    marks = Counter(attributes.get("class") for tag, attributes in page.elements if tag in {"span", "del", "ins"})
    assert marks["S"] - 1 == numbers["substitutions"]
    assert marks["D"] - 1 == numbers["deletions"]
    assert marks["I"] - 1 == numbers["insertions"] + numbers["invented_words"]
    assert f"{100 * numbers['wer']:.2f} %" in page.row("ours")
    assert f"| ours | {100 * numbers['wer']:.2f}\N{NO-BREAK SPACE}% |" in (tmp_path / "summary.md").read_text()


def test_every_bucket_on_the_page_is_that_of_the_results_and_the_buckets_hold_all_speech(tmp_path):
    write_report([system()], tmp_path, {})

    numbers, page = scores(tmp_path), Page(tmp_path)
    assert set(numbers["buckets"]) == {"duration", "reference_words", "words_per_minute", "snr_db", "speaker"}
    for buckets in numbers["buckets"].values():
        assert sum(bucket["errors"] for bucket in buckets) == numbers["errors"]
        assert sum(bucket["num_utterances"] for bucket in buckets) == 6
        for bucket in buckets:
            cells = [str(bucket["num_utterances"]), str(bucket["reference_words"]), f"{100 * bucket['wer']:.1f} %"]
            assert [bucket["label"], *cells] in page.rows


def test_hallucinations_are_counted_and_lead_to_their_utterances(tmp_path):
    said = [*SAID, ("we went on", "we went on " + LOOP, ""), ("one two three four five", "one", "")]

    write_report([system(said=said)], tmp_path, {})

    found = scores(tmp_path)["hallucinations"]
    assert found == {"invented": 1, "empty": 1, "long": 1, "short": 1, "loop": 1, "compressible": 1}
    page = Page(tmp_path)
    for check, times in found.items():
        listed = [item for item in page.items() if check in (item["data-keys"] or "").split()]
        assert len(listed) == times
        assert page.has("a", **{"data-filter": check})
        assert page.has("option", value=check)


def test_an_answer_without_repetition_or_with_the_repetition_that_was_said_is_no_loop(tmp_path):
    row_row = "row row row your boat row row row your boat row row row your boat"

    write_report([system(said=[(row_row, row_row, ""), ("a b c d e", "a b c d e", "")])], tmp_path, {})

    assert set(scores(tmp_path)["hallucinations"].values()) == {0}


def test_speed_covers_what_was_answered(tmp_path):
    write_report([system(seconds=0.5)], tmp_path, {})

    numbers = scores(tmp_path)
    assert sum(bucket["num_utterances"] for bucket in numbers["speed"]) == 6
    assert sum(bucket["audio_seconds"] for bucket in numbers["speed"]) == pytest.approx(numbers["audio_seconds"])
    assert numbers["rtfx"] == pytest.approx(numbers["audio_seconds"] / 3.0)


def test_without_times_there_is_no_speed_and_nothing_that_is_no_number(tmp_path):
    write_report([system(seconds=0.0)], tmp_path, {})

    assert scores(tmp_path)["speed"] == []
    assert not Page(tmp_path).has("section", id="speed")


@pytest.mark.parametrize("said", [[], [("", "", "")], [("", "words", "")], [("words", "", "gone")]])
def test_a_set_without_speech_or_without_answers_is_reported_too(tmp_path, said):
    write_report([system(said=said)], tmp_path, {})

    assert scores(tmp_path)["num_utterances"] == len(said)
    assert len(Page(tmp_path).items()) == len(said)


def test_several_systems_are_compared_with_the_first_on_the_same_utterances(tmp_path):
    perfect = system("theirs", said=[(reference, reference, "") for reference, _, _ in SAID], seconds=0.2)

    write_report([system(), perfect], tmp_path, {})

    numbers, page = scores(tmp_path), Page(tmp_path)
    assert [one["model"] for one in numbers["systems"]] == ["ours", "theirs"]
    (comparison,) = numbers["comparisons"]
    assert (comparison["baseline"], comparison["system"]) == ("ours", "theirs")
    assert comparison["difference"] == pytest.approx(-8 / 17)
    assert Counter(row["system"] for row in lines(tmp_path)) == {"ours": 7, "theirs": 7}
    ours, theirs = (one["buckets"] for one in numbers["systems"])
    for dimension, buckets in ours.items():
        assert [one["label"] for one in buckets] == [one["label"] for one in theirs[dimension]]
    assert {item["data-errors"] for item in page.items()} >= {"2,0", "0,0"}
    assert page.has("select", id="system")


def test_buckets_hold_the_same_utterances_of_all_systems_though_these_measured_other_lengths(tmp_path):
    second = system("second", seconds=0.2)
    for utterance in second.utterances:
        object.__setattr__(utterance.result, "duration", 100.0)

    write_report([system(), second], tmp_path, {})

    first_labels, second_labels = (
        [bucket["label"] for bucket in one["buckets"]["duration"]] for one in scores(tmp_path)["systems"]
    )
    assert first_labels == second_labels != ["30 s and more"]


def test_the_page_needs_nothing_from_outside(tmp_path, clip):
    write_report([system(audio=clip)], tmp_path, {})

    page = Page(tmp_path)
    assert "://" not in re.sub(r"data:audio/mpeg;base64,[\w+/=]+", "", page.text)
    for _, attributes in page.elements:
        assert not attributes.keys() & {"src", "srcset", "action"}
        assert (attributes.get("href") or "#").startswith("#")
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    (policy,) = [one["content"] for _, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


def test_texts_and_names_are_shown_as_they_are_and_never_as_markup(tmp_path, clip):
    plain = system("plain", said=[("hello", "hello", "")])
    hostile = system(HOSTILE, said=[(HOSTILE, HOSTILE + " a|b", ""), ("x", "", HOSTILE)], audio=clip)
    for utterance in hostile.utterances:
        object.__setattr__(utterance.result, "id", HOSTILE + utterance.result.id)
        object.__setattr__(utterance.result, "speaker", HOSTILE)
    write_report([plain], tmp_path / "plain", {})

    write_report([hostile], tmp_path / "hostile", {HOSTILE: HOSTILE})

    page = Page(tmp_path / "hostile")
    assert len(page.scripts) == 2
    assert page.scripts[1] == Page(tmp_path / "plain").scripts[1]
    assert list(json.loads(page.scripts[0])) == [HOSTILE + "utterance-0"]
    assert {tag for tag, _ in page.elements} <= {
        "b",
        "button",
        *(tag for tag, _ in Page(tmp_path / "plain").elements),
        "small",
        "del",
        "ins",
    }
    assert "<script>" not in (tmp_path / "hostile/summary.md").read_text().replace("\\<script\\>", "")


def test_clips_are_embedded_linked_or_left_out(tmp_path, clip):
    for mode in ("embed", "link", "none"):
        write_report([system(audio=clip)], tmp_path / mode, {}, audio=mode)

    embedded, linked, none = (json.loads(Page(tmp_path / mode).scripts[0]) for mode in ("embed", "link", "none"))
    answered = {f"utterance-{number}" for number in range(7) if number != 4}
    assert embedded.keys() <= answered
    sound = base64.b64decode(embedded["utterance-0"].removeprefix("data:audio/mpeg;base64,"))
    assert len(sound) < clip.stat().st_size / 2
    (tmp_path / "clip.mp3").write_bytes(sound)
    assert soundfile.info(tmp_path / "clip.mp3").duration == pytest.approx(0.5, abs=0.15)
    assert linked.keys() == answered
    assert linked["utterance-1"].endswith("/a%20clip%20%231.wav#t=0.000,4.500")
    assert none == {}
    assert Page(tmp_path / "embed").has("button", **{"aria-label": "Play utterance-0", "data-clip": "utterance-0"})


def test_a_clip_that_cannot_be_read_costs_its_button_only(tmp_path):
    write_report([system(audio=tmp_path / "gone.wav")], tmp_path, {})

    page = Page(tmp_path)
    assert json.loads(page.scripts[0]) == {}
    assert len(page.items()) == 7


def test_a_large_set_lists_the_worst_and_says_so(tmp_path):
    said = [("one two three", "one two three" if number % 2 else "one", "") for number in range(1200)]

    write_report([system(said=said)], tmp_path, {})

    page = Page(tmp_path)
    assert len(page.items()) == 500
    assert {item["data-errors"] for item in page.items()} == {"2"}
    assert "The 500 of 1,200 utterances with the most errors; all are in results.jsonl" in page.text
    assert len(lines(tmp_path)) == 1200


def test_an_endless_answer_is_cut_on_the_page_but_not_in_the_results(tmp_path):
    write_report([system(said=[("go", "go " * 5000, "")])], tmp_path, {})

    assert len(Page(tmp_path).text) < 120_000
    assert "more words, see results.jsonl" in Page(tmp_path).text
    assert len(lines(tmp_path)[0]["pred_text"].split()) == 5000


def test_the_same_results_give_the_same_files(tmp_path, clip):
    for folder in ("first", "second"):
        write_report([system(audio=clip), system("other", audio=clip)], tmp_path / folder, {"seed": 1})

    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_a_reader_of_results_can_score_them_again(tmp_path):
    write_report([system()], tmp_path, {})

    again = [UtteranceResult.from_row(row) for row in lines(tmp_path)]

    assert again == [utterance.result for utterance in system().utterances]


def test_the_page_is_named_and_labelled_for_those_who_do_not_see_it(tmp_path, clip):
    write_report([system(audio=clip), system("other")], tmp_path, {})

    page = Page(tmp_path)
    assert page.has("html", lang="en")
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for tag, attributes in page.elements:
        if tag == "section":
            assert attributes["aria-labelledby"] in ids
        if tag == "th":
            assert attributes["scope"] in {"col", "row"}
        if tag == "a":
            assert (attributes["href"] or "")[1:] in ids
        if tag == "button":
            assert attributes.get("aria-label") or attributes.get("id") == "theme"
    tables = sum(tag == "table" for tag, _ in page.elements)
    assert tables == sum(tag == "caption" for tag, _ in page.elements) > 0
    # A mark besides the colour, with words for a screen reader: said → understood, − said, + understood.
    for mark in ("→ ", "− ", "+ "):
        assert re.search(rf'::before {{ content: "{re.escape(mark)}" / "', page.text)
