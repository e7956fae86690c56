import pytest

from tiny_audio.data.manifest import Utterance
from tiny_audio.errors import OutputError
from tiny_audio.evaluation.answer_file import AnswerFile, settings_of
from tiny_audio.evaluation.results import UtteranceResult

SETTINGS = {"model": "runs/best", "dataset": "y"}


def result(name: str, **others) -> UtteranceResult:
    return UtteranceResult(id=name, reference="red", hypothesis="red", **others)


def test_answers_are_kept_batch_by_batch_and_a_line_that_was_cut_off_is_not_one(tmp_path):
    store = AnswerFile(tmp_path / "new" / "folder", SETTINGS)
    assert store.resume() == {}
    store.append([result("a"), result("b", draft="rad", speaker="ann")])
    store.append([result("c", problem="server is down")])
    assert store.path.name == "runs-best.jsonl"
    with store.path.open("a") as file:
        file.write('{"id": "d", "te')

    again = AnswerFile(tmp_path / "new" / "folder", SETTINGS)
    found = again.resume()

    assert found == {"a": result("a"), "b": result("b", draft="rad", speaker="ann")}  # failures get another try
    again.append([result("d")])
    assert list(again.resume()) == ["a", "b", "d"]
    again.finish([result("d"), result("a")])
    assert list(again.resume()) == ["d", "a"]


def test_answers_of_other_settings_are_refused_unless_they_are_given_up(tmp_path):
    AnswerFile(tmp_path, SETTINGS).resume()
    other = AnswerFile(tmp_path, SETTINGS | {"dataset": "z", "extra": 1})

    with pytest.raises(OutputError, match=r"other settings \(dataset, extra\).*--no-resume"):
        other.resume()
    assert other.restart() == {}
    assert other.resume() == {}


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        AnswerFile(tmp_path / "file" / "inside", SETTINGS).resume()


def test_settings_change_with_the_weights_and_the_words(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"1")
    one = Utterance(id="a", audio=tmp_path / "a.wav", duration=1.0, text="red")
    before = settings_of(str(tmp_path), "y", [one])
    assert settings_of(str(tmp_path), "y", [one]) == before

    assert settings_of(str(tmp_path), "y", []) != before
    (tmp_path / "model.safetensors").write_bytes(b"22")
    after = settings_of(str(tmp_path), "y", [one])
    assert {key for key in after if after[key] != before[key]} == {"model_files"}
