"""Every recipe, built at full size without memory for it: exact numbers, and stages that fit the system."""

from dataclasses import replace

import pytest
import torch

from tiny_audio.errors import UnknownNameError
from tiny_audio.models.ctc_model import CTCConfig, CTCModel
from tiny_audio.models.encoders.aut import aut_preset
from tiny_audio.models.modules import count_module
from tiny_audio.recipes import RECIPES, build_recipe
from tiny_audio.recipes.chapter_claims import CHAPTER_CLAIMS
from tiny_audio.recipes.recipe import training_memory
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.training.config import CTCSystem

PARAMETERS = {
    "tiny_audio_base": {
        "encoder": (20_590_592, 0),
        "projector": (5_398_657, 5_398_657),
        "decoder": (134_515_008 + 4_884_480, 4_884_480),
    },
    "tiny_audio_base_adapted": {
        "encoder": (20_590_592 + 1_179_648, 1_179_648),
        "projector": (5_799_937, 5_799_937),
        "decoder": (134_515_008 + 2_442_240, 2_442_240),
    },
    "whisper_turbo_conv_smollm3": {
        "encoder": (636_968_960, 0),
        "projector": (11_730_944, 11_730_944),
        "decoder": (3_075_098_624, 0),
    },
    "whisper_stack5_smollm3": {
        "encoder": (636_968_960, 0),
        "projector": (121_643_264, 121_643_264),
        "decoder": (3_075_098_624, 0),
    },
    "hubert_xlarge_swiglu_qwen3_8b": {
        "encoder": (962_497_408 + 1_966_080, 1_966_080),
        "projector": (138_422_528, 138_422_528),
        "decoder": (8_190_735_360 + 30_670_848, 30_670_848),
    },
    "aut_tiny_ctc": {"encoder": (1_983_296, 1_983_296), "ctc_head": (193 * 257, 193 * 257)},
    "aut_small_ctc": {"encoder": (8_176_320, 8_176_320), "ctc_head": (257 * 257, 257 * 257)},
}
"""Total and trained parameters of each component."""


def test_the_table_names_every_recipe():
    assert PARAMETERS.keys() == RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_full_size_on_the_meta_device(name: str):
    recipe = build_recipe(name)
    counts = recipe.count_parameters()
    assert {part: (count.total, count.trainable) for part, count in counts.items()} == PARAMETERS[name]
    assert recipe.name == name
    assert recipe.titles().keys() == counts.keys()
    assert training_memory(counts) == sum(2 * (total - n) + 16 * n for total, n in PARAMETERS[name].values())


@pytest.mark.parametrize("name", RECIPES)
def test_the_last_stage_trains_the_system_itself_and_no_stage_another(name: str):
    recipe = build_recipe(name)
    assert recipe.stages
    *earlier, last = recipe.stages.values()
    assert last.model == recipe.model
    for stage in earlier:
        kept = replace(stage.model, llm=recipe.model.llm, draft_only=recipe.model.draft_only)
        assert kept == recipe.model
    with pytest.raises(UnknownNameError, match=f"unknown stage of {name} 'pretrain'; known: "):
        recipe.stage("pretrain")


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_ctc_system_is_counted_as_it_is_trained(preset: str):
    units = CTCUnits.train_bpe(["one two three four five six seven eight nine ten"], num_units=48)
    with torch.device("meta"):
        model = CTCModel(CTCConfig(encoder=aut_preset(preset)), units)
    system = CTCSystem(preset=preset, num_units=units.num_units)
    counts = replace(build_recipe("aut_tiny_ctc"), model=system).count_parameters()
    assert sum(count.total for count in counts.values()) == count_module(model).total


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'aut_tiny_ctc'\?"):
        build_recipe("aut_tiny")


def test_claims_of_the_chapters_are_about_recipes_and_components_that_exist():
    for name, claims in CHAPTER_CLAIMS.items():
        assert claims.keys() <= {*PARAMETERS[name], "overall"}
