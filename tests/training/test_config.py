"""Overrides: typed, nested, and refused with the nearest known name."""

import pytest

from tiny_audio.errors import ConfigError, UnknownNameError
from tiny_audio.recipes import build_recipe
from tiny_audio.training.config import OptimConfig, TrainConfig, apply_overrides


def test_overrides_reach_nested_fields_and_leave_the_rest():
    config = apply_overrides(
        build_recipe("tiny_audio_base").stage("align"), ["optim.learning_rate=2", "seed=7", "train=a.jsonl"]
    )
    assert (config.optim.learning_rate, config.seed, config.train) == (2.0, 7, ("a.jsonl",))
    assert config.model == build_recipe("tiny_audio_base").stage("align").model


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("optim.learning_rat=1", UnknownNameError, "Did you mean 'learning_rate'"),
        ("seed", ConfigError, "not of the form name=value"),
        ("seed=many", ConfigError, "expected int"),
        ("seed.x=1", ConfigError, "seed has no parts"),
    ],
)
def test_a_wrong_override_is_one_clear_error(override: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        apply_overrides(build_recipe("tiny_audio_base").stage("align"), [override])


def test_all_problems_are_listed_at_once():
    with pytest.raises(ConfigError) as caught:
        TrainConfig(objective="correct", optim=OptimConfig(learning_rate=-1.0), save_every=0)
    assert str(caught.value).count("\n  - ") == 3
