import json
import os
from pathlib import Path

import pytest

from tiny_audio.errors import ManifestError, OutputError
from tiny_audio.inference.jobs import Source, find_sources, make_output_folder, parse_shard, plan_jobs


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """corpus/{b.wav, a.MP3, notes.txt, sub/c.flac} in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.wav", "a.MP3", "notes.txt", "sub/c.flac"):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("corpus")


def names(sources: list[Source]) -> list[str]:
    return [source.audio for source in sources]


def files(*words: str) -> list[Source]:
    return [Source(audio=word, relative=Path(Path(word).name)) for word in words]


def outputs(sources: list[Source], folder: Path, suffix: str = "txt") -> list[str]:
    return [str(job.outputs[suffix].relative_to(folder)) for job in plan_jobs(sources, folder, [suffix])]


# What is meant


def test_files_stay_in_their_order_even_if_they_are_not_there(corpus: Path) -> None:
    assert names(find_sources(["z.wav", "-", "corpus/b.wav", "corpus/notes.txt"])) == [
        "z.wav", "-", "corpus/b.wav", "corpus/notes.txt",
    ]  # fmt: skip


def test_a_folder_means_its_audio_files(corpus: Path) -> None:
    assert names(find_sources(["corpus"])) == ["corpus/a.MP3", "corpus/b.wav"]
    assert names(find_sources(["corpus"], recursive=True)) == ["corpus/a.MP3", "corpus/b.wav", "corpus/sub/c.flac"]


def test_a_folder_without_audio_stays_and_says_so_when_opened(corpus: Path) -> None:
    (corpus / "empty").mkdir()

    assert names(find_sources(["corpus/empty"])) == ["corpus/empty"]


def test_globs(corpus: Path) -> None:
    assert names(find_sources(["corpus/*.wav", "corpus/**/*.flac"])) == ["corpus/b.wav", "corpus/sub/c.flac"]
    assert names(find_sources(["corpus/*.ogg"])) == ["corpus/*.ogg"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(corpus: Path) -> None:
    (corpus / "take[1].wav").touch()

    assert names(find_sources(["corpus/take[1].wav"])) == ["corpus/take[1].wav"]


def test_a_list_holds_such_words(corpus: Path) -> None:
    Path("list.txt").write_text("\ufeffcorpus/b.wav\r\n\n corpus/sub \nGrüße ♪.wav\n", encoding="utf-8")

    assert names(find_sources(["@list.txt", "last.wav"])) == [
        "corpus/b.wav", "corpus/sub/c.flac", "Grüße ♪.wav", "last.wav",
    ]  # fmt: skip
    with pytest.raises(ManifestError, match=r"none\.txt: cannot be read: No such file"):
        find_sources(["@none.txt"])


def test_a_manifest_names_each_recording_once(corpus: Path) -> None:
    rows = [{"audio": "b.wav", "id": "1"}, {"audio": "sub/c.flac", "start": 1.0}, {"audio_filepath": "b.wav"}]
    (corpus / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in rows))

    sources = find_sources(["corpus/manifest.jsonl"])

    assert names(sources) == ["corpus/b.wav", "corpus/sub/c.flac"]
    assert [str(source.relative) for source in sources] == ["b.wav", "sub/c.flac"]


@pytest.mark.parametrize("line", ["{", "[]", '{"text": "no audio"}', '{"audio": 3}'])
def test_a_line_that_names_no_recording(corpus: Path, line: str) -> None:
    (corpus / "manifest.jsonl").write_text('{"audio": "b.wav"}\n' + line)

    with pytest.raises(ManifestError, match=r"manifest\.jsonl:2: expected a JSON object with the name of a recording"):
        find_sources(["corpus/manifest.jsonl"])


# Where it goes


def test_without_a_folder_nothing_is_written() -> None:
    (job,) = plan_jobs(files("a.wav"), None, ["txt"])

    assert job.outputs == {}
    assert not job.is_done


def test_outputs_are_named_after_their_sources_in_every_format(tmp_path: Path) -> None:
    assert outputs([*files("a/talk.wav", "my.day.mp3"), *find_sources(["-"])], tmp_path, "srt") == [
        "talk.srt", "my.day.srt", "stdin.srt",
    ]  # fmt: skip
    (job,) = plan_jobs(files("a.wav"), tmp_path, ["txt", "json"])
    assert job.outputs == {"txt": tmp_path / "a.txt", "json": tmp_path / "a.json"}


def test_what_was_found_in_a_folder_keeps_its_place_below_it(corpus: Path, tmp_path: Path) -> None:
    (corpus / "sub" / "b.wav").touch()

    assert outputs(find_sources(["corpus"], recursive=True), tmp_path) == ["a.txt", "b.txt", "sub/b.txt", "sub/c.txt"]


def test_no_two_outputs_share_a_name(tmp_path: Path) -> None:
    sources = files(
        "a/talk.wav", "b/talk.mp3", "c/TALK.mp3", "other.wav", "a/other.flac", "a/talk.wav", "x/talk.wav.wav"
    )

    planned = outputs(sources, tmp_path)

    assert len({name.casefold() for name in planned}) == len(sources)
    assert planned[3:5] == ["other.wav.txt", "other.flac.txt"]
    assert planned[1].startswith("talk.mp3-")


def test_names_do_not_depend_on_the_order_or_on_the_shard(tmp_path: Path) -> None:
    sources = files("a/talk.wav", "b/talk.wav", "c/talk.mp3", "b/other.wav", "c/new.wav")

    planned = dict(zip(names(sources), outputs(sources, tmp_path), strict=True))

    assert dict(zip(names(sources[::-1]), outputs(sources[::-1], tmp_path), strict=True)) == planned


def test_an_output_never_overwrites_a_source(tmp_path: Path) -> None:
    (output,) = outputs(files(str(tmp_path / "odd.txt")), tmp_path)

    assert output != "odd.txt"
    assert output.endswith(".txt")


def test_a_job_is_done_when_all_of_its_files_are_there(tmp_path: Path) -> None:
    (job,) = plan_jobs(files("a.wav"), tmp_path, ["txt", "json"])
    (tmp_path / "a.txt").touch()
    assert not job.is_done

    (tmp_path / "a.json").touch()
    assert job.is_done


# Shards


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "/2", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match="expected i/n with i from 1 to n"):
        parse_shard(text)


def test_a_shard() -> None:
    assert parse_shard("2/8") == (2, 8)


# The folder


def test_the_output_folder_is_made(tmp_path: Path) -> None:
    make_output_folder(tmp_path / "new" / "folder")

    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    with pytest.raises(OutputError, match="it is a file; expected a folder"):
        make_output_folder(path)
    with pytest.raises(OutputError, match="Not a directory"):
        make_output_folder(path / "below")


def test_an_output_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)

    with pytest.raises(OutputError, match="Permission denied"):
        make_output_folder(tmp_path)
