import pytest

from tiny_audio.evaluation.labels import NO_LABEL, score_labels, score_task

LABELS = ["male", "female", "happy", "very happy"]


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        ("Male.", "male"),
        ("FEMALE", "female"),
        ("This is a female speaker.", "female"),
        ("the speaker is very happy", "very happy"),
        ("males", NO_LABEL),
        ("a man", NO_LABEL),
        ("male or female", NO_LABEL),
        ("", NO_LABEL),
    ],
)
def test_an_answer_gives_the_one_label_that_it_holds_as_whole_words(answer, given):
    score = score_labels("describe", LABELS, [answer] * len(LABELS))

    assert {said for _, said in score.confusions} == {given}


def test_accuracy_is_the_share_of_right_answers_and_confusions_add_up():
    score = score_labels("emotion", ["Happy", "happy", "sad", "sad"], ["happy", "sad", "sad", "no idea"])

    assert score.accuracy == 0.5
    assert score.labels == ("happy", "sad")
    assert score.confusions == {
        ("happy", "happy"): 1,
        ("happy", "sad"): 1,
        ("sad", "sad"): 1,
        ("sad", NO_LABEL): 1,
    }
    assert score.num_answers == 4


def test_no_answers_are_no_accuracy():
    assert score_labels("emotion", [], []).accuracy == 0.0


def test_a_description_is_judged_fact_by_fact_where_the_reference_names_it():
    references = ["A woman speaks fast, without noise.", "A man speaks, with loud hiss.", "A woman speaks slowly."]
    answers = ["A woman speaks slowly, with faint hiss.", "A man speaks, with loud rumble.", "Somebody speaks slowly."]
    scores = {score.task: score for score in score_task("describe", references, answers)}

    assert {name: score.accuracy for name, score in scores.items()} == {
        "describe: speaker": 2 / 3,
        "describe: pace": 0.0,
        "describe: noise": 0.0,
        "describe: noise level": 1.0,
    }
    assert scores["describe: speaker"].confusions == {("woman", "woman"): 1, ("man", "man"): 1, ("woman", NO_LABEL): 1}
    assert [score.task for score in score_task("describe", ["female", "male"], ["female", "female"])] == ["describe"]
