"""`tiny-audio show params`: the table of the course's first exercise with counted numbers."""

import json
from pathlib import Path

import pytest

from tiny_audio.cli import main
from tiny_audio.models.checkpoint import read_config
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import aut_preset
from tiny_audio.recipes import RECIPES, build_recipe
from tiny_audio.recipes.chapter_claims import CHAPTER_CLAIMS
from tiny_audio.text.ctc_units import CTCUnits

HUBERT = "hubert_xlarge_swiglu_qwen3_8b"
TABLE = """\
ENCODER (HuBERT + LoRA)
==================================================
  Total params:          964,463,488
  Trainable params:        1,966,080
  Frozen params:         962,497,408
  Trainable:                   0.20%

PROJECTOR (swiglu)
==================================================
  Total params:          138,422,528
  Trainable params:      138,422,528
  Frozen params:                   0
  Trainable:                 100.00%

DECODER (Qwen3-8B + LoRA)
==================================================
  Total params:        8,221,406,208
  Trainable params:       30,670,848
  Frozen params:       8,190,735,360
  Trainable:                   0.37%

==================================================
OVERALL MODEL
==================================================
  Total params:        9,324,292,224
  Trainable params:      171,059,456
  Frozen params:       9,153,232,768
  Efficiency:                  1.83%

"""


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["show", "params", *words]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def test_the_layout_is_the_chapters_and_the_numbers_are_true(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, HUBERT) == TABLE


@pytest.mark.parametrize("name", RECIPES)
def test_json_adds_up(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(shown(capsys, name, "--json"))

    counts = build_recipe(name).count_parameters()
    assert values["components"] == {
        part: {"total": count.total, "trainable": count.trainable} for part, count in counts.items()
    }
    for key in ("total", "trainable"):
        assert values[key] == sum(part[key] for part in values["components"].values())


@pytest.mark.parametrize("name", RECIPES)
def test_as_seed_puts_every_claim_of_the_chapter_behind_its_component(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, beside = shown(capsys, name), shown(capsys, name, "--as-seed")

    added = [line for line in beside.splitlines() if line not in plain.splitlines()]
    claims = CHAPTER_CLAIMS.get(name, {})
    if not claims:
        assert added == [f"No chapter gives numbers for '{name}'."]
        return
    said = [claim for part in (*build_recipe(name).titles(), "overall") for claim in claims.get(part, ())]
    assert added == [line for claim in said for line in (f"  The chapter says:  {claim.said}", f"    {claim.reason}")]


def test_the_claims_of_the_first_chapter_stand_beside_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, HUBERT, "--as-seed")

    for number in ("1,267,200,000", "121,643,264", "8,000,000,000", "9,388,843,264", "138,944,768 trainable (1.48 %)"):
        assert number in text


def test_a_shipped_checkpoint_is_counted_as_its_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = json.loads(shown(capsys, "tiny-audio-base", "--json"))

    facts = read_config("tiny-audio-base").described_facts
    num_values = sum(map(len, facts.values()))
    describer = checkpoint["components"].pop("describer")
    assert describer == {"total": (2 * 512 + 1) * num_values, "trainable": (2 * 512 + 1) * num_values}
    characters = checkpoint["components"].pop("characters")
    # Two norms and a linear layer over two frames, three blocks, a linear layer to two CTC frames of 29 classes.
    block = 2 * 256 + (9 + 1) * 256 + (256 + 1) * 512 + (512 + 1) * 256
    expected = 2 * 512 + 2 * 256 + (1024 + 1) * 256 + 3 * block + (256 + 1) * 58
    assert characters == {"total": expected, "trainable": expected}
    recipe = json.loads(shown(capsys, "tiny_audio_base_adapted", "--json"))
    assert checkpoint["components"] == recipe["components"]
    beside = describer["total"] + characters["total"]
    assert checkpoint["total"] == recipe["total"] + beside == 164_527_425 + 13_325 + 1_076_794


def test_an_unknown_name_is_one_line_that_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "params", "whisper_stack"]) == 1

    output = capsys.readouterr()
    assert output.out == ""
    names = ", ".join(sorted([*RECIPES, "tiny-audio-base"]))
    assert output.err == (
        f"tiny-audio: error: unknown recipe or model 'whisper_stack'; known: {names}."
        " Did you mean 'whisper_stack5_smollm3'?\n"
    )


def test_the_folder_of_a_ctc_model_is_counted_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = CTCModel(CTCConfig(encoder=aut_preset("tiny")), CTCUnits.train_bpe(["one two three"] * 3, num_units=30))
    model.save(tmp_path)

    assert main(["show", "params", str(tmp_path), "--json"]) == 0

    counts = json.loads(capsys.readouterr().out)
    assert counts["components"]["encoder"]["total"] == 1_983_296
    assert counts["total"] == sum(parameter.numel() for parameter in model.parameters())
