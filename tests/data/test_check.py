from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import tone
from tiny_audio.data.check import NOTES, PROBLEMS, CheckReport, Feasibility, Part, check
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.odd_characters import odd_characters
from tiny_audio.errors import ManifestError, UnitsError

MANIFEST = Path("m.jsonl")
Speak = Callable[..., Utterance]


@pytest.fixture
def speak(tmp_path) -> Speak:
    """Makes an utterance with a recording of its own; no two sound alike."""
    pitches = iter(range(200, 4000, 7))

    def make(name: str, *, waveform: np.ndarray | None = None, duration: float = 1.0, **fields) -> Utterance:
        sound = tone(duration=duration, hertz=next(pitches)) if waveform is None else waveform
        audio = tmp_path / f"{name}.wav"
        soundfile.write(audio, sound, 16_000, subtype="FLOAT")
        seconds = len(sound) / 16_000
        usual = {"audio": audio, "duration": seconds, "text": f"the text of {name}", "speaker": name}
        return Utterance(id=name, **usual | fields)

    return make


def part(*utterances: Utterance, role: str = "", path: Path = MANIFEST) -> Part:
    return Part(path=path, utterances=utterances, bad_lines={}, role=role)


def found(report: CheckReport) -> list[tuple[str, str]]:
    return [(finding.id, finding.kind) for finding in report.findings]


def test_good_recordings_have_no_findings(speak):
    utterances = [speak(f"u{number}") for number in range(30)]
    heard: list[int] = []

    report = check([part(*utterances)], workers=2, progress=heard.append)

    assert report.findings == []
    assert report.clean[MANIFEST] == utterances
    assert (report.num_utterances, report.duration, sum(heard)) == (30, pytest.approx(30.0), 30)


def test_each_fault_of_a_recording_has_its_kind(speak, tmp_path):
    (tmp_path / "noise.wav").write_bytes(b"not audio")
    overdriven = np.clip(8 * tone(duration=1.0, hertz=150), -1, 1)
    good = speak("good")
    utterances = [
        good,
        replace(good, id="gone", audio=tmp_path / "gone.wav"),
        replace(good, id="noise", audio=tmp_path / "noise.wav"),
        speak("short", duration=0.05),
        speak("silent", waveform=np.zeros(16_000, np.float32)),
        speak("clipped", waveform=overdriven),
        replace(speak("wrong", duration=2.0), duration=1.0),
        replace(speak("beyond", duration=2.0), duration=9.0, start=1.0),
        replace(speak("zero"), duration=0.0),
        replace(speak("behind"), start=5.0),
        speak("long", duration=31.0),
    ]

    report = check([part(*utterances)], ignore=["same-text"])

    assert found(report) == [
        ("gone", "unreadable"),
        ("noise", "unreadable"),
        ("short", "unreadable"),
        ("silent", "silent"),
        ("clipped", "clipped"),
        ("wrong", "duration"),
        ("beyond", "duration"),
        ("zero", "duration"),
        ("behind", "duration"),
        ("long", "long"),
    ]
    assert len(report.problems) == 9
    # A wrong duration is mended where the recording says the right one; the rest is left out.
    assert [(one.id, one.duration) for one in report.clean[MANIFEST]] == [
        ("good", 1.0), ("wrong", 2.0), ("beyond", 1.0), ("zero", 1.0), ("long", 31.0),
    ]  # fmt: skip


def test_parts_of_one_recording_are_not_wrong_durations(speak):
    whole = speak("whole", duration=3.0)
    parts = [replace(whole, id=str(start), start=start, duration=1.0, text=f"text {start}") for start in (0.0, 1.0)]

    assert check([part(*parts)]).findings == []


def test_a_recording_at_full_scale_is_not_an_overdriven_one(speak):
    noise = np.random.default_rng(0).normal(size=16_000) * tone(duration=1.0, hertz=0.5)

    assert check([part(speak("normalised", waveform=noise / np.abs(noise).max()))]).findings == []


def test_more_text_than_ctc_can_align(speak):
    utterance = speak("u", duration=1.0, text="123456789")
    feasibility = Feasibility(available=lambda duration: int(duration * 10), needed=len)

    assert check([part(utterance)], feasibility=feasibility).findings == []
    (finding,) = check([part(utterance)], feasibility=replace(feasibility, speed=1.25)).findings
    assert (finding.kind, finding.detail) == ("infeasible", "9 CTC frames needed, 8 there")


def test_a_text_that_no_unit_can_write_is_one_of_odd_characters(speak):
    def refuse(text: str) -> int:
        raise UnitsError("no unit for '7'")

    (finding,) = check([part(speak("u"))], feasibility=Feasibility(available=int, needed=refuse)).findings

    assert (finding.kind, finding.detail) == ("characters", "no unit for '7'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zero\u200bwidth", "U+200B ZERO WIDTH SPACE"),
        ("\ufeffmark", "U+FEFF"),
        ("bro\ufffdken", "U+FFFD REPLACEMENT CHARACTER"),
        ("bell\x07", "U+0007"),
        ("right\u202eto left", "U+202E"),
        ("[laughter] yes", "markup [laughter]"),
        ("yes <unk>", "markup <unk>"),
        ("salt &amp; pepper", "markup &amp;"),
        ("naÃ¯ve", "wrongly decoded"),
        ("itâ€™s", "wrongly decoded"),
        ("p\u0430per", "letters of several scripts in 'p\u0430per'"),
        ("cafe\u0301", "not NFC"),
    ],
)
def test_what_nobody_says_is_named(text, words):
    (found,) = odd_characters(text)

    assert words in found


@pytest.mark.parametrize(
    "text",
    [
        "Plain text, with marks: don't; 50 % – “quoted”…",
        "two\nlines\t",
        "naïve café",
        "日本語 と English",
        "μm",
        "می\u200cخواهم",
        "R&D",
    ],
)
def test_what_people_write_is_not_odd(text):
    assert odd_characters(text) == []


def test_far_too_much_or_too_little_text_for_the_time(speak):
    usual = [speak(f"u{number}", text=f"usual {number:03d}" + "a" * (number % 5)) for number in range(30)]
    fast, slow = speak("fast", text="f" * 60), speak("slow", text="s")

    report = check([part(*usual, fast, slow)])

    assert found(report) == [("fast", "rate"), ("slow", "rate")]
    assert report.findings[0].detail.startswith("60.0 characters a second, usual here are 1")
    assert check([part(fast, slow)]).findings == []  # two have no usual rate


def test_copies_are_found_by_sound_and_texts_by_their_words(speak):
    one = speak("one", text="Hello, there!")
    copy = replace(one, id="copy", text="something else")
    echo = speak("echo", text="hello there")
    asked = replace(one, id="asked", task="emotion", response="happy")
    silence = [speak(f"s{number}", waveform=np.zeros(8000, np.float32), text="") for number in range(2)]
    silence = [replace(utterance, text="") for utterance in silence]

    report = check([part(one, copy, echo, asked), part(*silence, path=Path("silence.jsonl"))])

    assert found(report) == [("copy", "same-audio"), ("echo", "same-text")]
    assert [finding.detail for finding in report.findings] == ["as 'one'", "as 'one'"]
    assert [utterance.id for utterance in report.clean[MANIFEST]] == ["one", "echo", "asked"]


def test_sound_without_a_text_is_a_note(speak):
    report = check([part(speak("music", text=""))])

    assert found(report) == [("music", "no-text")]
    assert report.problems == []
    assert len(report.clean[MANIFEST]) == 1


def test_what_train_shares_with_test_is_a_problem_of_train(speak):
    test = [speak("a", text="Same words."), speak("b", speaker="ann"), speak("c")]
    train = [
        speak("d", text="same words"),
        speak("e", speaker="ann"),
        replace(test[2], id="f", speaker="", text="other"),
        speak("g", speaker=""),
    ]
    parts = [part(*train, role="train"), part(*test, role="test", path=Path("t.jsonl"))]

    report = check(parts)

    assert found(report) == [("d", "test-text"), ("e", "test-speaker"), ("f", "test-audio")]
    assert [utterance.id for utterance in report.clean[MANIFEST]] == ["g"]
    assert list(report.clean[Path("t.jsonl")]) == test
    assert found(check(parts, ignore=["test-text", "test-speaker"])) == [("f", "test-audio")]


def test_bad_lines_are_findings_and_a_missing_manifest_is_an_error(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "a"}\n')

    (finding,) = check([Part.read(path)]).findings

    assert (finding.id, finding.kind) == ("line 1", "line")
    assert "field 'audio' is missing" in finding.detail
    with pytest.raises(ManifestError, match="No such file"):
        Part.read(tmp_path / "none.jsonl")


def test_every_kind_is_a_problem_or_a_note():
    assert not PROBLEMS.keys() & NOTES.keys()
