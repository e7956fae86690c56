import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_audio.cli import main
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.inference.results import Transcript
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.types import Waveform

WORDS = "red green blue black white brown pink grey gold plum rose teal".split()
NUM_CLIPS = 120


class Listener:
    """Tells clips by their level; `deaf` to every n-th word; stops after `patience` batches."""

    def __init__(self, texts: list[str], deaf: int, patience: int = 10**6) -> None:
        self.texts, self.deaf, self.patience = texts, deaf, patience
        self.num_heard = 0

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        self.patience -= 1
        if self.patience < 0:
            raise KeyboardInterrupt
        self.num_heard += len(waveforms)
        return [self._transcript(waveform) for waveform in waveforms]

    def _transcript(self, waveform: Waveform) -> Transcript:
        number = round(float(waveform[0]) * 1000)
        heard = [word for place, word in enumerate(self.texts[number].split()) if (place + number) % self.deaf]
        return Transcript(text=" ".join(heard), segments=(), duration=len(waveform) / 16_000)


@pytest.fixture
def manifest(tmp_path) -> Path:
    generator = np.random.default_rng(0)
    folder = tmp_path / "corpus"
    folder.mkdir()
    utterances = []
    for number in range(NUM_CLIPS):
        audio = folder / f"{number}.wav"
        soundfile.write(audio, np.full(3200, number / 1000, np.float32), 16_000, subtype="FLOAT")
        text = " ".join(generator.choice(WORDS, 6))
        speaker = f"s{number % 12}"
        utterances.append(Utterance(id=f"u{number}", audio=audio, duration=0.2, text=text, speaker=speaker))
    write_manifest(folder / "dev.jsonl", utterances)
    return folder / "dev.jsonl"


@pytest.fixture
def models(manifest, monkeypatch) -> dict[str, Listener]:
    """The systems that can be named."""
    texts = [json.loads(line)["text"] for line in manifest.read_text().splitlines()]
    known = {
        "tiny-audio-base": Listener(texts, deaf=4),
        "runs/best": Listener(texts, deaf=20),
        "impatient": Listener(texts, deaf=4, patience=5),
    }
    monkeypatch.setattr(Transcriber, "from_pretrained", lambda name: known[name])
    return known


def scores(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def without_times(folder: Path) -> dict:
    return {key: value for key, value in scores(folder).items() if key not in ("wall_seconds", "rtfx", "speed")}


def test_every_sample_every_hundred_and_the_end_are_printed(manifest, models, capsys):
    assert main(["eval", str(manifest)]) == 0

    output = capsys.readouterr().out
    assert len(re.findall(r"^Sample \d+: WER = \d+\.\d\d%, Time = \d+\.\d\ds$", output, re.MULTILINE)) == NUM_CLIPS
    assert len(re.findall(r"^  Ref:  \w+", output, re.MULTILINE)) == NUM_CLIPS
    assert len(re.findall(r"^  Pred: \w+", output, re.MULTILINE)) == NUM_CLIPS
    block = r"={80}\nCHECKPOINT @ 100 samples:\n  Corpus WER: [\d.]+%\n  Avg Time/Sample: [\d.]+s\n={80}\n"
    assert len(re.findall(block, output)) == 1
    final = output[output.index("FINAL: tiny-audio-base on ") :]
    assert re.search(r"Corpus WER: 25\.00%  \[95% CI [\d.]+, [\d.]+, by speaker\]", final)
    assert "S/D/I: 0.00% / 25.00% / 0.00%  (180 errors / 720 words, 120 samples)" in final
    assert "rtfx: " in final
    assert "whisper-english (whisper-normalizer" in final


def test_the_manifest_comes_last_or_with_dataset_and_the_default_model_is_ours(manifest, models, capsys):
    assert main(["eval", "runs/best", str(manifest), "--quiet"]) == 0
    first = capsys.readouterr().out
    assert main(["eval", "runs/best", "--dataset", str(manifest.parent), "--quiet"]) == 0
    second = capsys.readouterr().out
    assert main(["eval", "--dataset", str(manifest), "--quiet", "--max-samples", "7"]) == 0

    assert first.splitlines()[1].startswith("FINAL: runs/best on ")
    assert first.splitlines()[2:4] == second.splitlines()[2:4]
    assert " errors / 42 words, 7 samples)" in capsys.readouterr().out
    assert models["tiny-audio-base"].num_heard == 7


def test_two_runs_give_the_same_results_but_for_times(manifest, models, tmp_path):
    for folder in ("one", "two"):
        assert (
            main(["eval", str(manifest), "--quiet", "--max-samples", "50", "--output-dir", str(tmp_path / folder)]) == 0
        )

    assert without_times(tmp_path / "one") == without_times(tmp_path / "two")
    assert scores(tmp_path / "one")["num_utterances"] == 50


def test_an_interrupted_run_keeps_what_it_has_and_goes_on_to_the_same_result(manifest, models, tmp_path, capsys):
    command = ["eval", "impatient", str(manifest), "--output-dir", str(tmp_path / "half"), "--quiet"]

    assert main(command) == 130
    assert "40 of 120 samples are kept in" in capsys.readouterr().err
    assert not (tmp_path / "half/results.json").exists()
    models["impatient"].patience = 10**6
    assert main(command) == 0
    assert models["impatient"].num_heard == NUM_CLIPS
    assert main(command) == 0  # nothing is left to do
    assert models["impatient"].num_heard == NUM_CLIPS
    assert main([*command, "--no-resume"]) == 0
    assert models["impatient"].num_heard == 2 * NUM_CLIPS

    assert main(["eval", str(manifest), "--output-dir", str(tmp_path / "whole"), "--quiet"]) == 0
    whole, half = without_times(tmp_path / "whole"), without_times(tmp_path / "half")
    assert whole | {"model": "impatient"} == half
    ids = [json.loads(line)["id"] for line in (tmp_path / "half/answers/impatient.jsonl").read_text().splitlines()]
    assert ids == [f"u{number}" for number in range(NUM_CLIPS)]


def test_results_of_another_set_are_not_mixed_in(manifest, models, tmp_path, capsys):
    folder = ["--output-dir", str(tmp_path / "results"), "--quiet"]
    assert main(["eval", str(manifest), *folder]) == 0
    capsys.readouterr()

    assert main(["eval", str(manifest), "--max-samples", "5", *folder]) == 1

    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "other settings (utterances)" in captured.err


def test_two_models_are_compared_in_pairs_and_a_worse_one_can_fail_the_command(manifest, models, tmp_path, capsys):
    better, worse = "runs/best", "tiny-audio-base"
    common = ["--dataset", str(manifest), "--quiet"]

    assert main(["eval", better, worse, *common, "--output-dir", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert main(["eval", better, worse, *common, "--fail-if-worse"]) == 1
    assert main(["eval", worse, better, *common, "--fail-if-worse"]) == 0

    last = output.splitlines()[-1]
    assert re.match(r"tiny-audio-base +25\.00% .*\+\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\] worse +0\.0%$", last)
    (comparison,) = scores(tmp_path)["comparisons"]
    assert (comparison["baseline"], comparison["system"]) == (better, worse)
    assert comparison["difference"] > 0
    assert [system["model"] for system in scores(tmp_path)["systems"]] == [better, worse]
    assert sorted(path.name for path in (tmp_path / "answers").glob("*.jsonl")) == [
        "runs-best.jsonl",
        "tiny-audio-base.jsonl",
    ]


def test_predictions_are_a_system_that_must_be_complete(manifest, tmp_path, capsys):
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    path = tmp_path / "theirs.jsonl"
    path.write_text("".join(json.dumps({"id": row["id"], "pred_text": row["text"]}) + "\n" for row in rows))

    assert main(["eval", str(path), "--dataset", str(manifest), "--quiet"]) == 0
    assert "Corpus WER: 0.00%" in capsys.readouterr().out
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    assert main(["eval", str(path), "--dataset", str(manifest), "--quiet"]) == 1
    assert "no prediction for 1 of 120 utterances, first: 'u119'" in capsys.readouterr().err


def test_broken_audio_is_named_counted_as_deleted_and_fails_the_command(manifest, models, tmp_path, capsys):
    (manifest.parent / "3.wav").write_text("not a sound")

    assert main(["eval", str(manifest), "--output-dir", str(tmp_path / "results")]) == 1

    output = capsys.readouterr().out
    assert re.search(r"Sample \d+: FAILED \(.*3\.wav", output)
    assert "  Failed: 1 samples, their words count as deleted\n    u3: " in output
    assert scores(tmp_path / "results")["num_failed"] == 1
    assert scores(tmp_path / "results")["reference_words"] == 720


def test_silence_is_no_part_of_the_rate(manifest, models, capsys):
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows[5]["text"] = "(music)"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert main(["eval", str(manifest)]) == 0

    output = capsys.readouterr().out
    assert re.search(r"Sample \d+: 5 words invented, Time = ", output)
    assert "/ 714 words, 119 samples)" in output
    assert "  Without words: 1 samples, 5 words invented, 1500.0 a minute" in output


def test_rates_by_speaker_and_the_leaderboards_file(manifest, models, tmp_path, capsys):
    command = ["eval", str(manifest), "--by", "speaker", "--leaderboard", "--output-dir", str(tmp_path), "--quiet"]

    assert main(command) == 0

    output = capsys.readouterr().out
    assert len(re.findall(r"^s\d+ +\d+\.\d\d% +60 +10$", output, re.MULTILINE)) == 12
    path = tmp_path / "MODEL_tiny-audio-base_DATASET_dev.jsonl"
    assert str(path) in output
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == NUM_CLIPS
    assert set(rows[0]) == {"audio_filepath", "duration", "time", "text", "pred_text"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "No such file"), ("", "holds no utterances"), ("{}\n", ":1: field 'id' is missing")],
)
def test_a_manifest_that_cannot_be_used_is_one_line_and_exit_code_1(tmp_path, models, capsys, text, complaint):
    path = tmp_path / "bad.jsonl"
    if text is not None:
        path.write_text(text)

    assert main(["eval", str(path)]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert complaint in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "b", "c"],
        ["m.jsonl", "--max-samples", "0"],
        ["m.jsonl", "--threads", "x"],
        ["a", "a", "m.jsonl"],
        ["m.jsonl", "--leaderboard"],
        ["m.jsonl", "--fail-if-worse"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    assert main(["eval", *arguments]) == 2


@pytest.mark.parametrize("option", ["--normalizer", "--scorer", "--dataset"])
def test_unknown_names_are_told(option, manifest, capsys):
    arguments = ["--dataset", str(manifest)] if option != "--dataset" else []
    assert main(["eval", *arguments, option, "no-such-thing"]) == 1
    assert "no-such-thing'; known: " in capsys.readouterr().err
