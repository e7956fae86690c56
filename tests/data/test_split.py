import random
from pathlib import Path

import pytest

from tiny_audio.data.manifest import Utterance
from tiny_audio.data.split import split_utterances
from tiny_audio.errors import DatasetError

SHARES = {"test": 0.1, "dev": 0.2}


def corpus(num_speakers: int = 40, each: int = 10, *, shared: int = 0) -> list[Utterance]:
    """Speakers with texts of their own; the first `shared` texts of each are said by everybody."""
    return [
        Utterance(
            id=f"{speaker}-{number}",
            audio=Path(f"{speaker}-{number}.wav"),
            duration=1.0 + speaker % 3,
            text=f"Prompt {number}!" if number < shared else f"speaker {speaker} says {number}",
            speaker=f"s{speaker}",
        )
        for speaker in range(num_speakers)
        for number in range(each)
    ]


def ids(rows) -> list[str]:
    return [one.id for one in rows]


def test_parts_share_no_speaker_and_hold_everything_in_order():
    utterances = corpus()

    split = split_utterances(utterances, SHARES)

    speakers = [{one.speaker for one in rows} for rows in split.parts.values()]
    assert list(split.parts) == ["train", "test", "dev"]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 40
    position = {one.id: index for index, one in enumerate(utterances)}
    assert all(ids(rows) == sorted(ids(rows), key=position.get) for rows in split.parts.values())
    assert sorted(id for rows in split.parts.values() for id in ids(rows)) == sorted(position)
    assert split.left_out == []


def test_shares_are_of_the_duration():
    utterances = corpus()
    total = sum(one.duration for one in utterances)

    for seed in range(5):
        parts = split_utterances(utterances, SHARES, seed=seed).parts
        for name, share in SHARES.items():
            assert sum(one.duration for one in parts[name]) / total == pytest.approx(share, abs=0.03)


def test_the_seed_alone_decides_and_not_the_order():
    utterances = corpus()
    shuffled = random.Random(1).sample(utterances, len(utterances))

    def members(rows, seed):
        return {name: set(ids(part)) for name, part in split_utterances(rows, SHARES, seed=seed).parts.items()}

    assert members(utterances, 0) == members(shuffled, 0)
    assert members(utterances, 0) != members(utterances, 1)


def test_a_text_of_a_part_held_out_is_left_out_of_the_others_and_counted():
    utterances = corpus(shared=2)

    split = split_utterances(utterances, SHARES)

    texts = {name: {one.text for one in rows} for name, rows in split.parts.items()}
    assert {"Prompt 0!", "Prompt 1!"} <= texts["test"]
    assert not (texts["train"] & texts["test"]) | (texts["train"] & texts["dev"]) | (texts["dev"] & texts["test"])
    assert {one.text for one in split.left_out} == {"Prompt 0!", "Prompt 1!"}
    assert sum(map(len, split.parts.values())) + len(split.left_out) == len(utterances)
    assert split_utterances(utterances, SHARES, shared_texts=True).left_out == []


def test_one_speaker_is_divided_by_text():
    utterances = corpus(1, 100) + [
        Utterance(
            id=f"again-{number}", audio=Path("a.wav"), duration=1.0, text=f"SPEAKER 0 says {number}?", speaker="s0"
        )
        for number in range(100)
    ]

    with pytest.raises(DatasetError, match=r"found only 1 of speaker; expected at least 3.* --by text"):
        split_utterances(utterances, SHARES)
    parts = split_utterances(utterances, SHARES, by="text").parts

    part_of = {one.id: name for name, rows in parts.items() for one in rows}
    assert len(part_of) == 200
    assert all(part_of[f"0-{number}"] == part_of[f"again-{number}"] for number in range(100))


def test_utterances_of_one_recording_stay_together_where_the_speaker_is_unknown():
    utterances = [
        Utterance(
            id=f"{recording}-{number}", audio=Path(f"{recording}.wav"), duration=1.0, text=f"{recording} {number}"
        )
        for recording in range(20)
        for number in range(5)
    ]

    parts = split_utterances(utterances, SHARES).parts

    recordings = [{one.audio for one in rows} for rows in parts.values()]
    assert sum(map(len, recordings)) == 20


def test_a_part_whose_share_is_less_than_any_speaker_gets_the_shortest_one():
    utterances = corpus(4)

    parts = split_utterances(utterances, {"dev": 0.01}).parts

    assert len({one.speaker for one in parts["dev"]}) == 1
    assert sum(one.duration for one in parts["dev"]) == 10.0


def test_nothing_left_to_train_on_is_one_clear_line():
    with pytest.raises(DatasetError, match=r"nothing is left in train, dev: .* --shared-texts, or --by text"):
        split_utterances(corpus(shared=10), SHARES)
