"""The page of many evaluations: ranked by set and rule, nothing lost, damage named."""

import json
from pathlib import Path

import pytest

from tiny_audio.cli import main
from tiny_audio.errors import ResultsError
from tiny_audio.evaluation.leaderboard_page import format_page, read_entries


def system(model: str, wer: float, *, dataset: str = "sets/ljspeech/dev.jsonl", scorer: str = "plain") -> dict:
    return {
        "model": model,
        "dataset": dataset,
        "normalizer": "whisper-english",
        "scorer": scorer,
        "num_utterances": 100,
        "wer": wer,
        "wer_interval": [wer - 0.01, wer + 0.02],
        "rtfx": 12.34,
        "num_failed": 1,
    }


def write(folder: Path, values: dict) -> Path:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_models_are_ranked_within_a_set_and_a_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    several = {"settings": {}, "systems": [system("slow|er", 0.2), system("best <b>", 0.1)], "comparisons": []}
    write(tmp_path / "runs" / "a", several)
    write(tmp_path / "runs" / "b", system("middle", 0.15))
    other = write(tmp_path / "c", system("alone", 0.01, scorer="leaderboard"))

    assert main(["leaderboard", str(tmp_path / "runs"), str(other / "results.json")]) == 0

    page = capsys.readouterr().out
    assert page.count("## ljspeech/dev") == 2  # two rules of counting, never in one table
    assert [line.split(" | ")[1] for line in page.splitlines() if line.startswith(("| 1", "| 2", "| 3"))] == [
        "alone",
        "best ‹b›",
        "middle",
        "slow/er",
    ]
    assert "| 15.00 % | 14.0 – 17.0 % | 1 | 12.3 |" in page


def test_the_order_of_the_files_makes_no_difference_and_the_page_is_written_whole(tmp_path: Path):
    folders = [write(tmp_path / str(index), system(f"m{index}", 0.1 * (index % 3))) for index in range(6)]
    page = format_page(read_entries(folders))
    assert page == format_page(read_entries(reversed(folders)))
    assert main(["leaderboard", str(tmp_path), "-o", str(tmp_path / "docs" / "page.md")]) == 0
    assert (tmp_path / "docs" / "page.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[]", "not JSON of an evaluation"), ("{", "not JSON"), ('{"wer": 1}', "has no 'wer_interval'")],
)
def test_what_is_no_evaluation_is_named(tmp_path: Path, text: str, problem: str):
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=problem):
        read_entries([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match=r"no results\.json"):
        read_entries([tmp_path / "empty"])
