"""The page of many evaluations: ranked by set and rule, nothing lost, damage named."""

import json
from pathlib import Path

import pytest

from tiny_audio.cli import main
from tiny_audio.errors import ResultsError
from tiny_audio.evaluation.leaderboard_page import format_page, read_entries
from tiny_audio.evaluation.leaderboard_submissions import add_to_board, read_board


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


def test_an_added_result_stays_beside_the_page_without_paths_or_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "board.md"
    mine = system("/home/me/runs/best", 0.2) | {
        "audio_seconds": 5400.0,
        "frequent_errors": {"deletions": [["secret", 2]]},
    }
    first = write(tmp_path / "a", mine)
    second = write(tmp_path / "b", system("whisper-base", 0.1))

    options = ["--hardware", "2 cores", "--training-hours", "18", "--cost", "1.5"]
    assert main(["leaderboard", "add", str(first / "results.json"), "-o", str(page), *options]) == 0
    stored, listed = map(Path, capsys.readouterr().out.splitlines())
    assert main(["leaderboard", "add", str(second), "-o", str(page)]) == 0
    assert main(["leaderboard", "add", str(second), "-o", str(page)]) == 0  # again: replaced, not doubled

    assert listed == page
    assert stored.parent == tmp_path / "docs" / "board"
    assert len(list(stored.parent.iterdir())) == 2
    assert not {"home", "secret"} & set(stored.read_text().replace("/", '"').split('"'))
    text = page.read_text()
    assert "100 utterances, 1.50 h, counted with" in text
    assert "| 1 | whisper-base | 10.00 % | 9.0 – 12.0 % | 1 | 12.3 |  |  |  |" in text
    assert "| 2 | runs/best | 20.00 % | 19.0 – 22.0 % | 1 | 12.3 | 2 cores | 18.0 | 1.50 |" in text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"wer": 0.5}, "a rate 0.5 outside of its interval"),
        ({"num_failed": 101}, "101 failures of 100 utterances"),
        ({"rtfx": -1.0}, "rtfx -1.0, which cannot be"),
    ],
)
def test_a_result_that_cannot_be_changes_nothing(tmp_path: Path, change: dict, problem: str):
    with pytest.raises(ResultsError, match=problem):
        add_to_board([write(tmp_path / "a", system("m", 0.1) | change)], tmp_path / "board.md")
    assert not (tmp_path / "board.md").exists()
    assert not (tmp_path / "board").exists()


def test_a_stored_file_that_was_edited_badly_is_named(tmp_path: Path):
    (path,) = add_to_board([write(tmp_path / "a", system("m", 0.1))], tmp_path / "board.md")
    assert [entry.model for entry in read_board(tmp_path / "board")] == ["m"]
    values = json.loads(path.read_text())
    for damaged, problem in (
        (values | {"wer": "0.1"}, "wer '0.1', which is no float"),
        (values | {"colour": 1}, "an unknown colour"),
        ({"wer": 0.1}, "no dataset; no high"),
        ([], "holds no JSON object"),
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(ResultsError, match=problem):
            read_board(tmp_path / "board")


def test_of_several_models_those_that_are_named_are_added(tmp_path: Path):
    both = write(tmp_path / "a", {"settings": {}, "systems": [system("mine", 0.1), system("peer", 0.2)]})
    (path,) = add_to_board([both], tmp_path / "board.md", models=["mine"], training_hours=18.0)
    assert json.loads(path.read_text())["model"] == "mine"
    with pytest.raises(ResultsError, match="no result of 'other'; found mine, peer"):
        add_to_board([both], tmp_path / "board.md", models=["other"])


def test_our_own_board_is_what_its_results_say():
    board = Path(__file__).parents[2] / "docs" / "leaderboard.md"
    assert board.read_text(encoding="utf-8") == format_page(read_board(board.with_suffix("")))


def test_what_is_given_for_a_submission_needs_one(capsys: pytest.CaptureFixture[str]):
    assert main(["leaderboard", "x.json", "--cost", "1"]) == 2
    assert main(["leaderboard", "add"]) == 2
    assert capsys.readouterr().err.count("tiny-audio: error: ") == 2
