"""`tiny-audio recipes`: what there is, how large it is, and the same for programs."""

import json

import pytest

from tiny_audio.cli import main
from tiny_audio.recipes import RECIPES, build_recipe


def test_every_recipe_is_listed_with_sizes_memory_stages_and_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0

    output = capsys.readouterr()
    assert output.err == ""
    blocks = dict(block.split("\n", 1) for block in output.out.strip().split("\n\n"))
    assert list(blocks) == list(RECIPES)
    for name, block in blocks.items():
        recipe = build_recipe(name)
        assert recipe.summary in block
        assert recipe.hardware in block
        assert f"stages {', '.join(recipe.stages)};" in block
    assert "parameters 9,324,292,224, trained 171,059,456\n" in blocks["hubert_xlarge_swiglu_qwen3_8b"]
    assert "weights and optimizer 21.04 GB," in blocks["hubert_xlarge_swiglu_qwen3_8b"]
    assert "parameters 2,032,897, trained 2,032,897\n" in blocks["aut_tiny_ctc"]


def test_json_holds_the_same_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0

    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(RECIPES)
    assert rows["whisper_turbo_conv_smollm3"] == {
        "name": "whisper_turbo_conv_smollm3",
        "summary": "Whisper large-v3-turbo, convolutional projector, SmolLM3-3B",
        "stages": ["distill", "speech_llm"],
        "total": 636_968_960 + 11_730_944 + 3_075_098_624,
        "trainable": 11_730_944,
        "training_memory_bytes": 2 * (636_968_960 + 3_075_098_624) + 16 * 11_730_944,
        "hardware": "one GPU with 24 GB",
    }
