import gzip
import io
import json
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from fakes import encode, tone
from tiny_audio.data.corpora.corpus import EmbeddedAudio, ReadOptions
from tiny_audio.data.corpora.importer import (
    FORMATS,
    ImportReport,
    import_entries,
    measure_duration,
    open_corpus,
    store_audio,
)
from tiny_audio.data.manifest import read_manifest, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import AudioError, DatasetError, MissingExtraError, UnknownNameError


def record(path: Path, *, duration: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(duration=duration), 16_000)
    return path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def json_lines(path: Path, *rows: dict) -> Path:
    return write(path, *map(json.dumps, rows))


def load(path: Path, format_name: str = "auto", **options) -> ImportReport:
    entries = open_corpus(path, format_name=format_name, options=ReadOptions(**options))
    return import_entries(entries, path.parent / "stored")


def rows(report: ImportReport) -> list[tuple]:
    """Id, file name, start, duration, text and speaker."""
    return [(one.id, one.audio.name, one.start, one.duration, one.text, one.speaker) for one in report.utterances]


def reasons(report: ImportReport) -> list[str]:
    return [one.reason for one in report.skipped]


def nemo(folder: Path) -> Path:
    record(folder / "wav/a.wav")
    record(folder / "wav/long.wav", duration=2.0)
    return json_lines(
        folder / "train.json",
        {"audio_filepath": "wav/a.wav", "duration": 0.5, "text": "hello  there", "lang": "en", "pnc": "no"},
        {"audio_filepath": "wav/long.wav", "offset": 0.5, "duration": 1.0, "text": "one", "speaker": 7},
        {"audio_filepath": str(folder / "wav/long.wav"), "offset": 1.5, "text": "two"},
    )


def test_nemo_paths_are_relative_to_the_manifest_and_ids_are_those_of_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir("/")

    report = load(nemo(tmp_path))

    assert rows(report) == [
        ("a", "a.wav", 0.0, 0.5, "hello there", ""),
        ("long", "long.wav", 0.5, 1.0, "one", "7"),
        ("long-2", "long.wav", 1.5, 0.5, "two", ""),  # measured: from 1.5 s to the end of 2 s
    ]
    assert (report.utterances[0].language, report.utterances[0].extra) == ("en", {"pnc": "no"})
    assert (report.renamed, report.skipped) == (0, [])


def cut(**changes) -> dict:
    recording = {
        "id": "r1",
        "sources": [{"type": "file", "channels": [0], "source": "r1.wav"}],
        "sampling_rate": 16_000,
        "num_samples": 32_000,
        "duration": 2.0,
    }
    spoken = {"id": "s1", "recording_id": "r1", "start": 0.25, "duration": 0.5, "channel": 0, "text": "hi"}
    second = spoken | {"id": "s2", "start": 1.0, "text": "ho", "speaker": "ann", "language": "de", "gender": "f"}
    return {
        "id": "c1",
        "start": 0.25,
        "duration": 1.5,
        "channel": 0,
        "supervisions": [spoken, second],
        "recording": recording,
        "type": "MonoCut",
    } | changes


def lhotse(folder: Path) -> Path:
    record(folder / "r1.wav", duration=2.0)
    path = folder / "cuts.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(cut()).encode()))
    return path


def test_the_supervisions_of_a_lhotse_cut_begin_where_the_cut_does(tmp_path):
    report = load(lhotse(tmp_path))

    assert rows(report) == [("s1", "r1.wav", 0.5, 0.5, "hi", ""), ("s2", "r1.wav", 1.25, 0.5, "ho", "ann")]
    assert (report.utterances[1].language, report.utterances[1].extra) == ("de", {"gender": "f"})


def test_lhotse_cuts_that_are_not_one_mono_file_are_skipped_with_their_reason(tmp_path):
    record(tmp_path / "r1.wav", duration=2.0)
    recording = cut()["recording"]
    (source,) = recording["sources"]
    path = json_lines(
        tmp_path / "cuts.jsonl",
        cut(),
        {"id": "m", "type": "MixedCut", "tracks": []},
        cut(recording=recording | {"sources": [source | {"type": "command", "source": "rm -rf /"}]}),
        cut(recording=recording | {"transforms": [{"name": "Speed"}]}),
        cut(recording=recording | {"sources": [source | {"channels": [0, 1]}]}),
        cut(start="x"),
    )

    report = load(path)

    assert len(report.utterances) == 2
    assert [reason.partition(";")[0].partition(":")[0] for reason in reasons(report)] == [
        "MixedCut",
        "its audio is not one file as it is",
        "its audio is not one file as it is",
        "channel 0 of several",
        "not a cut of one recording",
    ]
    assert report.skipped[0].where == f"{path}:2"


def kaldi(folder: Path) -> Path:
    record(folder / "r1.wav", duration=2.0)
    write(folder / "wav.scp", "r1 r1.wav")
    write(folder / "text", "u1 hello there", "u2 bye", "u9 nobody")
    write(folder / "segments", "u1 r1 0.25 1.0", "u2 r1 1.5 -1", "u3 r1 0 1", "u4 r7 0 1", "u5 r1 2 1")
    write(folder / "utt2spk", "u1 ann")
    return folder


def test_kaldi_segments_and_what_is_missing_in_its_tables(tmp_path):
    folder = kaldi(tmp_path)
    write(folder / "text", "u1 hello there", "u2 bye", "u9 nobody", "u4 x", "u5 y")

    report = load(folder)

    assert rows(report) == [("u1", "r1.wav", 0.25, 0.75, "hello there", "ann"), ("u2", "r1.wav", 1.5, 0.5, "bye", "")]
    assert reasons(report) == [
        "no recording of that name",
        "no line in text",
        "recording 'r7' is not in wav.scp",
        "it ends at 1 s, before its start at 2 s",
    ]


def test_kaldi_without_segments_has_an_utterance_for_each_recording(tmp_path):
    record(tmp_path / "r1.wav")
    write(tmp_path / "wav.scp", f"u1 {tmp_path / 'r1.wav'}")
    write(tmp_path / "text", "u1 hello")

    assert rows(load(tmp_path)) == [("u1", "r1.wav", 0.0, 0.5, "hello", "")]


def test_a_command_in_a_wav_scp_is_never_run(tmp_path):
    write(tmp_path / "wav.scp", f"u1 touch {tmp_path / 'ran'} |")
    write(tmp_path / "text", "u1 hello")

    with pytest.raises(DatasetError, match=r"holds a command .* commands are never run, so write their output"):
        load(tmp_path)

    assert not (tmp_path / "ran").exists()


def common_voice(folder: Path) -> Path:
    for name in "ab":
        record(folder / f"clips/{name}.mp3".replace("mp3", "wav"))
    header = "client_id\tpath\tsentence\tup_votes\tage\tlocale"
    write(
        folder / "train.tsv",
        header,
        'ann\ta.wav\t"No!" he said.\t2\ttwenties\ten',
        'bob\tb.wav\t"Never closed\t0\t\ten',
    )
    write(folder / "test.tsv", header)
    write(folder / "clip_durations.tsv", "clip\tduration[ms]", "a.wav\t432")
    return folder


def test_common_voice_texts_may_begin_with_a_quote(tmp_path):
    report = load(common_voice(tmp_path), split="train")

    assert rows(report) == [
        ("a", "a.wav", 0.0, 0.432, '"No!" he said.', "ann"),
        ("b", "b.wav", 0.0, 0.5, '"Never closed', "bob"),
    ]
    assert report.utterances[0].language == "en"
    assert report.utterances[0].extra == {"up_votes": "2", "age": "twenties"}
    assert rows(load(tmp_path / "train.tsv")) == rows(report)


def test_of_a_common_voice_folder_one_part_is_chosen(tmp_path):
    with pytest.raises(DatasetError, match="no part ''; expected one of test, train: choose with --split"):
        load(common_voice(tmp_path))


def librispeech(folder: Path) -> Path:
    record(folder / "84/121123/84-121123-0000.flac")
    write(folder / "84/121123/84-121123.trans.txt", "84-121123-0000 GO  DO YOU HEAR", "84-121123-0001 GONE")
    return folder


def test_librispeech_speakers_are_the_first_part_of_the_id(tmp_path):
    report = load(librispeech(tmp_path))

    assert rows(report) == [("84-121123-0000", "84-121123-0000.flac", 0.0, 0.5, "GO DO YOU HEAR", "84")]
    assert reasons(report) == ["no recording '84-121123-0001' beside it"]


def ljspeech(folder: Path) -> Path:
    record(folder / "wavs/LJ001.wav")
    record(folder / "wavs/LJ002.wav")
    write(folder / "metadata.csv", 'LJ001|in 1455, "so"|in fourteen fifty-five, "so"', "LJ002|as it is|as it is")
    return folder


def test_the_text_of_ljspeech_is_the_one_that_is_read(tmp_path):
    report = load(ljspeech(tmp_path))

    assert [one.text for one in report.utterances] == ['in fourteen fifty-five, "so"', "as it is"]
    assert [one.extra for one in report.utterances] == [{"written": 'in 1455, "so"'}, {}]
    assert rows(load(tmp_path / "metadata.csv")) == rows(report)


def table(folder: Path) -> Path:
    record(folder / "a.wav")
    return write(folder / "list.csv", "Path;Transcript;Speaker;note", 'a.wav;"one; two";ann;x', "a.wav;three", ";x;y;z")


def test_a_table_with_a_header_names_its_columns_in_many_ways(tmp_path):
    report = load(table(tmp_path))

    assert rows(report) == [("a", "a.wav", 0.0, 0.5, "one; two", "ann")]
    assert report.utterances[0].extra == {"note": "x"}
    assert reasons(report) == ["another number of cells than the header's 4", "no audio in column 'Path'"]


def test_columns_can_be_named(tmp_path):
    record(tmp_path / "a.wav")
    path = write(tmp_path / "list.tsv", "file\traw\ttext\tduration", "a.wav\tRaw!\tclean\tlong")

    assert [one.reason for one in load(path).skipped] == ["duration is 'long'; expected seconds, a number of 0 or more"]
    write(path, "file\traw\ttext", "a.wav\tRaw!\tclean")
    assert load(path).utterances[0].text == "clean"
    chosen = load(path, columns={"text": "raw"}).utterances[0]
    assert (chosen.text, chosen.extra) == ("Raw!", {})
    with pytest.raises(DatasetError, match=r"has columns file, raw, text; expected 'row' for the text"):
        load(path, columns={"text": "row"})
    with pytest.raises(UnknownNameError, match="Did you mean 'speaker'"):
        load(path, columns={"speakr": "raw"})
    write(path, "file\twords", "a.wav\tx")
    with pytest.raises(DatasetError, match=r"expected one for the text .*: name it with --column text=NAME"):
        load(path, "csv")


def pairs(folder: Path) -> Path:
    record(folder / "ann/one.flac")
    write(folder / "ann/one.lab", "Hello", "there.")
    return folder


def test_recordings_without_a_text_and_texts_without_a_recording_are_counted(tmp_path):
    record(tmp_path / "silent.wav")
    record(tmp_path / "both.wav")
    record(tmp_path / "both.flac")
    write(tmp_path / "both.txt", "x")
    write(tmp_path / "alone.txt", "x")

    report = load(pairs(tmp_path))

    assert [(one.id, one.text) for one in report.utterances] == [("ann/one", "Hello there."), ("both", "x")]
    assert [Path(one.where).name for one in report.skipped] == ["both.wav", "silent.wav", "alone.txt"]


def audio_folder(folder: Path) -> Path:
    record(folder / "train/audio/a.wav")
    json_lines(folder / "train/metadata.jsonl", {"file_name": "audio/a.wav", "transcription": "hello"})
    record(folder / "test/b.wav")
    write(folder / "test/metadata.csv", "file_name,transcription", 'b.wav,"bye, bye"')
    return folder


def test_an_audio_folder_has_parts_or_none(tmp_path):
    folder = audio_folder(tmp_path)

    assert rows(load(folder, split="test")) == [("b", "b.wav", 0.0, 0.5, "bye, bye", "")]
    assert rows(load(folder / "train")) == [("a", "a.wav", 0.0, 0.5, "hello", "")]
    with pytest.raises(DatasetError, match="no part ''; it has the parts test, train: choose with --split"):
        load(folder)


def embedded(folder: Path, count: int = 3) -> list[dict]:
    """Rows as a dataset of the hub has them, their audio undecoded."""
    data = record(folder / "tone.flac").read_bytes()
    return [
        {"audio": {"bytes": data, "path": f"c{number}.flac"}, "sentence": f"text {number}", "start": 7.0, "n": number}
        for number in range(count)
    ]


class FakeParquet:
    """Stands in for `pyarrow.parquet`: a file holds its rows as JSON, with the bytes of audio in hexadecimal."""

    def __init__(self, path: Path) -> None:
        self.rows = json.loads(path.read_text())

    def __enter__(self) -> "FakeParquet":
        return self

    def __exit__(self, *_: object) -> None: ...

    def iter_batches(self, batch_size: int):
        for start in range(0, len(self.rows), batch_size):
            part = self.rows[start : start + batch_size]
            audio = [row["audio"] | {"bytes": bytes.fromhex(row["audio"]["bytes"])} for row in part]
            rows = [row | {"audio": one} for row, one in zip(part, audio, strict=True)]
            yield SimpleNamespace(to_pylist=lambda rows=rows: rows)


def parquet(folder: Path) -> Path:
    rows = embedded(folder, 40)
    rows = [row | {"audio": row["audio"] | {"bytes": row["audio"]["bytes"].hex()}} for row in rows]
    for name, part in (("train-00000-of-00002", rows[:35]), ("train-00001-of-00002", rows[35:]), ("test", rows[:1])):
        (folder / "data").mkdir(exist_ok=True)
        (folder / f"data/{name}.parquet").write_text(json.dumps(part))
    return folder / "data"


def test_audio_inside_parquet_files_is_written_byte_by_byte(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", SimpleNamespace(ParquetFile=FakeParquet))
    folder = parquet(tmp_path)

    report = load(folder, split="train")

    assert len(report.utterances) == 40
    one = report.utterances[36]
    assert (one.id, one.duration, one.text, one.start, one.extra) == ("c36", 0.5, "text 36", 0.0, {"n": 36})
    assert one.audio == tmp_path / "stored/000036.flac"
    assert one.audio.read_bytes() == (tmp_path / "tone.flac").read_bytes()
    with pytest.raises(DatasetError, match="holds the parts test, train; choose one with --split"):
        load(folder)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"tiny-audio\[data\]"):
        load(folder, split="train")


class FakeHub:
    """Stands in for the package `datasets`."""

    class Audio:
        def __init__(self, *, decode: bool = True) -> None:
            self.decode = decode

    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows
        self.features = {name: self.Audio() if name == "audio" else str for name in rows[0]}

    def load_dataset(self, repo: str, config: str | None, *, split: str, streaming: bool) -> "FakeHub":
        self.asked = (repo, config, split, streaming)
        return self

    def cast_column(self, column: str, feature: "FakeHub.Audio") -> "FakeHub":
        assert (column, feature.decode) == ("audio", False)
        return self

    def __iter__(self):
        return iter(self.rows)


@pytest.mark.parametrize(("path", "name"), [("hf:some/set", "auto"), ("some/set", "hub")])
def test_a_set_on_the_hub_is_streamed_and_decoded_by_us(tmp_path, monkeypatch, path, name):
    hub = FakeHub(embedded(tmp_path))
    monkeypatch.setitem(sys.modules, "datasets", hub)

    entries = open_corpus(Path(path), format_name=name, options=ReadOptions(config="clean"))
    report = import_entries(entries, tmp_path / "stored")

    assert hub.asked == ("some/set", "clean", "train", True)
    assert [(one.id, one.text, one.duration) for one in report.utterances] == [
        (f"c{number}", f"text {number}", 0.5) for number in range(3)
    ]


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def webdataset(folder: Path) -> Path:
    sound = record(folder / "a.wav").read_bytes()
    (folder / "a.wav").unlink()
    tar_of(
        folder / "set/a-000.tar",
        {
            "train/a.wav": sound,
            "train/a.json": b'{"text": "hello  there", "offset": 7.5, "speaker": "ann", "snr": 12}',
            "train/b.c.wav": sound,  # the key is what stands before the first dot
            "train/b.txt": b"two recordings",
            "train/b.wav": sound,
            "c.json": b'{"text": "no sound"}',
            "d.wav": sound,
        },
    )
    tar_of(folder / "set/a-001.tar", {"e.wav": sound, "e.txt": b"just text\n", "f.wav": sound, "f.json": b"[1"})
    return folder / "set"


def test_webdataset_reads_json_or_text_and_leaves_the_audio_in_its_tar(tmp_path):
    report = load(webdataset(tmp_path))
    assert rows(report) == [
        ("train/a", "a.wav", 0.0, 0.5, "hello there", "ann"),
        ("e", "e.wav", 0.0, 0.5, "just text", ""),
    ]
    assert report.utterances[0].extra == {"snr": 12}
    assert report.utterances[0].audio == tmp_path / "set/a-000.tar/train/a.wav"
    assert len(load_waveform(report.utterances[0])) == 8_000
    assert [reason.partition(";")[0].partition(":")[0] for reason in reasons(report)] == [
        "2 recordings of this key",
        "0 recordings of this key",
        f"{tmp_path}/set/a-000.tar",
        "its JSON or text cannot be read",
    ]
    assert not (tmp_path / "stored").exists()


CORPORA = {
    "nemo": nemo,
    "lhotse": lhotse,
    "kaldi": kaldi,
    "common-voice": common_voice,
    "librispeech": librispeech,
    "ljspeech": ljspeech,
    "csv": table,
    "pairs": pairs,
    "audiofolder": audio_folder,
    "parquet": parquet,
    "webdataset": webdataset,
}


def test_every_format_is_tried():
    assert {*CORPORA, "hub"} == set(FORMATS)


@pytest.mark.parametrize("name", CORPORA)
def test_each_corpus_looks_like_its_own_format_and_comes_back_from_a_manifest(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", SimpleNamespace(ParquetFile=FakeParquet))
    path = CORPORA[name](tmp_path)
    # The first that matches is taken.
    assert next(one.name for one in FORMATS.values() if one.matches(path)) == name

    utterances = load(path, split="train" if name in ("common-voice", "parquet", "audiofolder") else "").utterances
    write_manifest(tmp_path / "manifest.jsonl", utterances)

    assert utterances
    assert read_manifest(tmp_path / "manifest.jsonl") == utterances
    assert load(tmp_path / "manifest.jsonl").utterances == utterances


def test_what_fits_no_format_is_one_line_that_lists_them(tmp_path):
    with pytest.raises(DatasetError) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert all(name in str(caught.value) for name in FORMATS)
    with pytest.raises(DatasetError, match="no such file or folder"):
        load(tmp_path / "none")
    with pytest.raises(UnknownNameError, match="Did you mean 'kaldi'"):
        load(tmp_path, "kaldy")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"\xff\xfe", "nemo", "is not UTF-8 text; convert it first"),
        (b"file,text\n\xff,x\n", "csv", "is not UTF-8 text"),
        (b'file,text\na.wav,"open\n', "csv", "is no table: .*; is a quote left open"),
        (b"not zipped", "lhotse", "cannot read"),
    ],
)
def test_files_that_cannot_be_read_are_one_clear_line(tmp_path, content, name, message):
    path = tmp_path / ("cuts.jsonl.gz" if name == "lhotse" else "list.csv")
    path.write_bytes(content)

    with pytest.raises(DatasetError, match=message) as caught:
        load(path, name)

    assert "\n" not in str(caught.value)


def test_bad_lines_and_missing_recordings_are_skipped_and_counted(tmp_path):
    record(tmp_path / "a.wav")
    (tmp_path / "noise.wav").write_bytes(b"not audio")
    path = write(
        tmp_path / "list.jsonl",
        '{"audio": "a.wav", "text": "good"}',
        "{",
        "[]",
        '{"audio": "a.wav"}',
        '{"audio": "gone.wav", "text": "x"}',
        '{"audio": "noise.wav", "text": "x"}',
        '{"audio": "a.wav", "text": "x", "start": 3}',
        '{"audio": "a.wav", "text": "x", "duration": -1}',
        '{"audio": null, "text": "x"}',
    )

    report = load(path)

    assert [one.text for one in report.utterances] == ["good"]
    assert [one.where for one in report.skipped] == [f"{path}:{number}" for number in range(2, 10)]
    said = "not JSON|found list|for the text|no such file|cannot decode|nothing from 3 s|'-1'|no audio".split("|")
    assert all(words in reason for words, reason in zip(said, reasons(report), strict=True))


def test_an_id_that_is_taken_gets_a_number_and_is_counted(tmp_path):
    record(tmp_path / "a.wav")
    path = json_lines(tmp_path / "l.jsonl", *({"id": "x", "audio": "a.wav", "text": text} for text in "abc"))

    report = load(path)

    assert [one.id for one in report.utterances] == ["x", "x-2", "x-3"]
    assert report.renamed == 2


def test_a_recording_without_a_length_in_its_header_is_decoded(tmp_path):
    path = tmp_path / "live.webm"
    sound = tone(duration=1.0, sample_rate=48_000)
    path.write_bytes(encode(sound, sample_rate=48_000, container="webm", codec="libopus", options={"live": "1"}))

    assert measure_duration(path) == pytest.approx(1.0, abs=0.05)
    with pytest.raises(AudioError):
        measure_duration(tmp_path / "none.wav")


def test_the_name_of_embedded_audio_cannot_choose_where_it_is_written(tmp_path):
    path = store_audio(EmbeddedAudio(data=b"x", name="../../evil.sh"), tmp_path / "audio", 3)

    assert path == tmp_path / "audio/000003"
