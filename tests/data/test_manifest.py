import json
from pathlib import Path

import pytest

from tiny_audio.data.manifest import Utterance, read_manifest, scan_manifest, write_manifest
from tiny_audio.errors import ManifestError

LINE = {"id": "a-1", "audio": "audio/a-1.opus", "duration": 3.25, "text": "Hello there.", "speaker": "ann"}


def manifest(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "train.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


def test_audio_is_relative_to_the_manifest_not_to_the_working_directory(tmp_path, monkeypatch):
    folder = tmp_path / "corpus"
    folder.mkdir()
    manifest(folder, json.dumps(LINE))
    monkeypatch.chdir(tmp_path)

    (utterance,) = read_manifest("corpus/train.jsonl")

    assert utterance == Utterance(
        id="a-1", audio=folder / "audio/a-1.opus", duration=3.25, text="Hello there.", speaker="ann"
    )
    assert utterance.audio.is_absolute()


def test_writing_what_was_read_gives_the_same_file(tmp_path):
    rows = [
        LINE,
        LINE | {"id": "a-2", "start": 1.5, "slots": {"size": "large"}, "pseudo_text": "hello"},
        LINE | {"id": "a-3", "language": "en", "task": "emotion", "response": "happy", "note": 1},
        LINE | {"id": "ü", "audio": "/elsewhere/ü.wav", "text": "naïve – “quoted”\nsecond line"},
    ]
    path = manifest(tmp_path, *(json.dumps(row, ensure_ascii=False) for row in rows), "")

    utterances = read_manifest(path)
    write_manifest(tmp_path / "copy.jsonl", utterances)

    assert (utterances[2].language, utterances[2].task, utterances[2].response) == ("en", "emotion", "happy")
    assert utterances[2].extra == {"note": 1}
    assert utterances[1].extra == {"slots": {"size": "large"}, "pseudo_text": "hello"}
    assert (tmp_path / "copy.jsonl").read_bytes() == path.read_bytes()


def test_a_manifest_in_another_folder_names_the_same_audio(tmp_path):
    utterances = read_manifest(manifest(tmp_path, json.dumps(LINE)))

    write_manifest(tmp_path / "subset" / "small.jsonl", utterances)

    assert read_manifest(tmp_path / "subset" / "small.jsonl") == utterances


def test_blank_lines_byte_order_mark_and_windows_line_ends_are_harmless(tmp_path):
    path = manifest(tmp_path, b"\xef\xbb\xbf" + json.dumps(LINE).encode() + b"\r", "", "  ")

    assert [utterance.id for utterance in read_manifest(path)] == ["a-1"]


def test_what_may_be_left_out_is_not_written_but_the_speaker(tmp_path):
    row = {key: value for key, value in LINE.items() if key != "speaker"}

    (utterance,) = read_manifest(manifest(tmp_path, json.dumps(row)))

    assert (utterance.speaker, utterance.start) == ("", 0.0)
    assert (utterance.language, utterance.task, utterance.response) == ("", "", "")
    write_manifest(tmp_path / "copy.jsonl", [utterance])
    assert json.loads((tmp_path / "copy.jsonl").read_text()) == row | {"speaker": ""}


def test_a_scan_goes_on_behind_a_bad_line(tmp_path):
    path = manifest(tmp_path, json.dumps(LINE), "{", json.dumps(LINE), json.dumps(LINE | {"id": "b"}))

    found = dict(scan_manifest(path))

    assert [number for number, row in found.items() if isinstance(row, Utterance)] == [1, 4]
    assert "not JSON" in str(found[2])
    assert "already used in line 1" in str(found[3])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "a-1",', "not JSON"),
        ("[1, 2]", "expected a JSON object, found list"),
        (b'{"id": "\xff"}', "not UTF-8"),
        *(
            (json.dumps({k: v for k, v in LINE.items() if k != key}), f"field '{key}' is missing")
            for key in ("id", "audio", "duration", "text")
        ),
        (json.dumps(LINE | {"duration": "3.2"}), "field 'duration' must be seconds"),
        (json.dumps(LINE | {"duration": -1}), "field 'duration' must be seconds"),
        (json.dumps(LINE | {"duration": float("nan")}), "field 'duration' must be seconds"),
        (json.dumps(LINE | {"duration": True}), "field 'duration' must be seconds"),
        (json.dumps(LINE | {"start": None}), "field 'start' must be seconds"),
        (json.dumps(LINE | {"text": None}), "field 'text' must be a string"),
        (json.dumps(LINE | {"language": 7}), "field 'language' must be a string"),
        (json.dumps(LINE | {"id": 7}), "field 'id' must be a string"),
        (json.dumps(LINE | {"audio": ""}), "field 'audio' is empty"),
        (json.dumps(LINE | {"id": "ok"}), "id 'ok' is already used in line 1"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_field(tmp_path, line, reason):
    path = manifest(tmp_path, json.dumps(LINE | {"id": "ok"}), "", line)

    with pytest.raises(ManifestError) as caught:
        read_manifest(path)

    message = str(caught.value)
    assert message.startswith(f"{path}:3: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_manifest_that_cannot_be_opened_is_one_clear_line(tmp_path, name):
    with pytest.raises(ManifestError, match=r"cannot read the manifest: (No such file|Is a directory)"):
        read_manifest(tmp_path / name)


def test_a_failed_write_leaves_the_old_manifest_and_nothing_else(tmp_path):
    path = manifest(tmp_path, json.dumps(LINE))
    before = path.read_bytes()
    (good,) = read_manifest(path)
    bad = Utterance(id="nan", audio=tmp_path / "b.wav", duration=float("nan"), text="")

    with pytest.raises(ValueError, match="JSON compliant"):
        write_manifest(path, [good, bad])

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
