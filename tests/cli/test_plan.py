"""`tiny-audio plan`: a plan of a tiny recipe, one that is too large, and wrong numbers."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tiny_audio.cli import main, plan
from tiny_audio.recipes import RECIPES
from tiny_audio.recipes.recipe import Recipe
from word_systems import saved_word_config, word_cache

Words = Callable[..., list[str]]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    """Command lines for a tiny recipe."""
    word_cache(tmp_path / "cache")
    config = saved_word_config(tmp_path, max_batch_duration=2.0)
    recipe = Recipe(name="tiny", summary="", model=config.model, stages={"align": config}, hardware="")
    monkeypatch.setitem(RECIPES, "tiny", lambda: recipe)
    return lambda *more: ["plan", "tiny", "--train", str(tmp_path / "cache"), *more]


def test_a_plan_ends_with_the_command_that_trains_it(words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(words("--time", "2h", "--gpu-mem", "24G", "--price-per-hour", "2")) == 0
    printed = capsys.readouterr().out
    for name in ("data", "measured on", "steps", "audio seen", "batch", "memory", "features", "time", "cost"):
        assert f"\n{name} " in f"\n{printed}"
    command = shlex.split(printed.splitlines()[-1])
    assert command[:7] == ["tiny-audio", "train", "align", "--recipe", "tiny", "--train", str(tmp_path / "cache")]
    assert any(word.startswith("optim.max_steps=") for word in command)


def test_for_programs_it_is_json(words: Words, capsys: pytest.CaptureFixture[str]):
    assert main(words("--time", "90s", "--json", "--set", "optim.epochs=3")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plan"]["epochs"] == pytest.approx(3, rel=0.2)
    assert "optim.epochs=3" in found["command"]


def test_no_time_for_a_single_step_is_exit_code_1(words: Words, capsys: pytest.CaptureFixture[str]):
    assert main(words("--time", "0.0001s")) == 1
    assert main(words("--time", "1h", "--gpu-mem", "0.001M")) == 1
    assert "not even 1 s of audio fits" in capsys.readouterr().out


def test_what_is_too_large_to_be_built_is_counted_and_that_is_said(
    words: Words, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(plan, "_machine_memory", lambda: 1000.0)
    assert main(words("--time", "1h")) == 0
    printed = capsys.readouterr().out
    assert "counted; activations on top" in printed
    assert "not measured: steps, batch, time and activations" in printed


@pytest.mark.parametrize(
    "wrong", [["--time", "soon"], ["--time", "2y"], ["--time", "0h"], ["--time", "1h", "--gpu-mem", "lots"]]
)
def test_wrong_numbers_are_wrong_usage(wrong: list[str], words: Words, capsys: pytest.CaptureFixture[str]):
    assert main(words(*wrong)) == 2
    assert "expected a number and a unit" in capsys.readouterr().err


def test_an_unknown_recipe_names_the_known(words: Words, capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "tiny_audio_bas", *words("--time", "1h")[2:]]) == 1
    assert "Did you mean 'tiny_audio_base'" in capsys.readouterr().err


def test_a_recipe_of_its_own_settings_is_not_changed(words: Words):
    before = RECIPES["tiny"]().stages["align"]
    main(words("--time", "1h", "--set", "seed=3"))
    assert RECIPES["tiny"]().stages["align"] == before == replace(before)
