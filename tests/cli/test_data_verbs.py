import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import tone
from tiny_audio.cli import main
from tiny_audio.data.manifest import read_manifest


@pytest.fixture
def corpus(tmp_path) -> Path:
    """A NeMo manifest of twelve speakers, each with two clips; the last line has no recording."""
    rows = []
    for number in range(24):
        name = f"c{number}.wav"
        soundfile.write(tmp_path / name, tone(duration=1.0, hertz=300 + 20 * number), 16_000)
        rows.append({"audio_filepath": name, "text": f"this is clip {number}", "speaker": f"s{number % 12}"})
    rows.append({"audio_filepath": "gone.wav", "text": "x", "duration": 1.0})
    path = tmp_path / "nemo.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def manifest(corpus, capsys) -> Path:
    path = corpus.with_name("all.jsonl")
    main(["data", "import", str(corpus), "-o", str(path)])
    capsys.readouterr()
    return path


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_import_writes_a_manifest_and_what_it_skipped(corpus, capsys):
    output = corpus.parent / "data/all.jsonl"

    assert main(["data", "import", str(corpus), "-o", str(output), "--quiet"]) == 1

    printed = capsys.readouterr()
    assert printed.out == f"{output}\n"
    assert "24 utterances, 0.01 h" in printed.err
    assert "1 skipped, with the reasons in" in printed.err
    (skipped,) = json_lines(output.with_suffix(".skipped.jsonl"))
    assert skipped == {"where": f"{corpus}:25", "reason": f"'{corpus.parent / 'gone.wav'}': no such file"}
    assert len(read_manifest(output)) == 24


def test_import_of_a_good_part_ends_with_0_and_leaves_no_old_list(corpus, capsys):
    output = corpus.with_name("all.jsonl")
    assert main(["data", "import", "nemo", str(corpus), "-o", str(output)]) == 1

    assert main(["data", "import", "nemo", str(corpus), "-o", str(output), "--max-utterances", "3"]) == 0

    assert len(read_manifest(output)) == 3
    assert not output.with_suffix(".skipped.jsonl").exists()


def test_import_of_nothing_is_one_line(tmp_path, capsys):
    path = tmp_path / "list.csv"
    path.write_text("audio,text\ngone.wav,x\n")

    assert main(["data", "import", str(path), "-o", str(tmp_path / "m.jsonl")]) == 1

    message = capsys.readouterr().err
    assert f"'{path}' gave no utterance, 1 were skipped: {path}:2: " in message
    assert message.count("\n") == 1
    for options in (["--column", "text"], ["--max-utterances", "-1"]):
        assert main(["data", "import", str(path), "-o", "m.jsonl", *options]) == 2


def test_check_without_findings(manifest, capsys):
    assert main(["data", "check", str(manifest), "--strict", "--quiet"]) == 0

    assert capsys.readouterr().out == "24 utterances, 0.01 h: no problems\n"


def test_check_counts_problems_writes_them_and_mends(manifest, capsys):
    rows = json_lines(manifest)
    soundfile.write(manifest.parent / "c0.wav", np.zeros(16_000, np.float32), 16_000)
    rows[1]["duration"] = 9.0
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    fixed = manifest.with_name("clean.jsonl")

    assert main(["data", "check", str(manifest), "--fix", str(fixed), "--quiet"]) == 0

    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "24 utterances, 0.01 h: 3 problems"
    assert "  duration           1  another duration than the recording's; first: c1: 9.00 s, but the" in printed.out
    assert f"{fixed}: 23 kept (1 durations mended), 2 dropped" in printed.err
    findings = json_lines(manifest.with_name("clean.problems.jsonl"))
    assert [(one["id"], one["kind"]) for one in findings] == [("line 25", "line"), ("c0", "silent"), ("c1", "duration")]
    assert main(["data", "check", str(fixed), "--strict", "--quiet"]) == 0
    assert main(["data", "check", str(manifest), "--strict", "--quiet"]) == 1
    ignored = ["--ignore", "line", "silent", "duration"]
    assert main(["data", "check", str(manifest), "--strict", "--quiet", *ignored]) == 0


def test_check_tells_train_from_test(manifest, capsys):
    assert main(["data", "split", str(manifest), "-o", str(manifest.parent / "parts")]) == 0
    parts = {name: str(manifest.parent / f"parts/{name}.jsonl") for name in ("train", "dev", "test")}
    held_out = ["--test", parts["dev"], parts["test"]]

    assert main(["data", "check", "--train", parts["train"], *held_out, "--strict", "--quiet"]) == 0
    assert main(["data", "check", "--train", str(manifest), *held_out, "--strict", "--quiet"]) == 1
    assert "test-speaker" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "is_feasible"),
    [
        (["--units", "char"], False),
        (["--units", "char", "--frame-rate", "50"], True),
        (["--units", "char", "--frame-rate", "50", "--speed", "4"], False),
        (["--units", "bpe", "--speed", "1.2"], True),
        (["--recipe", "aut_tiny_ctc"], True),
        (["--recipe", "tiny_audio_base"], True),
        (["--recipe", "tiny_audio_base", "--speed", "3"], False),
        (["--recipe", "whisper_turbo_conv_smollm3"], True),
    ],
)
def test_check_compares_texts_with_ctc_frames(manifest, capsys, options, is_feasible):
    assert main(["data", "check", str(manifest), "--quiet", *options]) == 0

    assert ("infeasible" in capsys.readouterr().out) != is_feasible


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to check"),
        (["a.jsonl", "b.jsonl", "--fix", "c.jsonl"], "--fix mends one manifest, and here are 2"),
        (["a.jsonl", "--workers", "0"], "must be more than 0"),
    ],
)
def test_wrong_usage_of_check(options, message, capsys):
    assert main(["data", "check", *options]) == 2

    assert message in capsys.readouterr().err


def test_check_knows_the_kinds_that_it_may_ignore(manifest, capsys):
    assert main(["data", "check", str(manifest), "--ignore", "cliped"]) == 1

    assert "Did you mean 'clipped'?" in capsys.readouterr().err


def test_stats_as_text_and_as_json(manifest, capsys):
    assert main(["data", "stats", str(manifest)]) == 0
    assert "sample rates  16,000 Hz 24" in capsys.readouterr().out

    assert main(["data", "stats", str(manifest), "--json", "--no-audio"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["num_utterances"], counts["sample_rates"], counts["vocabulary"]["clip"]) == (24, {}, 24)


def test_split_writes_a_manifest_for_each_part(manifest, capsys):
    folder = manifest.parent / "parts"

    assert main(["data", "split", str(manifest), "-o", str(folder), "--dev", "0.25", "--test", "0"]) == 0

    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(folder / "train.jsonl"), str(folder / "dev.jsonl")]
    assert "dev: 6 utterances, 0.1 min, 3 speakers" in printed.err
    assert main(["data", "split", str(manifest), "-o", str(folder), "--dev", "0", "--test", "0"]) == 2
    assert main(["data", "split", str(manifest), "-o", str(folder), "--dev", "1.5"]) == 2


def test_what_a_split_leaves_out_is_counted_and_written(manifest, capsys):
    rows = json_lines(manifest)
    manifest.write_text(
        "".join(json.dumps(row | {"text": "same"} if i < 8 else row) + "\n" for i, row in enumerate(rows))
    )

    assert main(["data", "split", str(manifest), "-o", str(manifest.parent / "parts")]) == 0

    left_out = read_manifest(manifest.parent / "parts/left-out.jsonl")
    assert {one.text for one in left_out} == {"same"}
    assert f"{len(left_out)} left out, since another part has their texts" in capsys.readouterr().err
