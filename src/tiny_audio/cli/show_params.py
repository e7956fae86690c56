"""`tiny-audio show params`: parameters of each component of a recipe or a checkpoint."""

import argparse
import json
from pathlib import Path

HELP = "parameters of each component: total, trained, frozen"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="RECIPE|MODEL", help="a name of `tiny-audio recipes`, or a checkpoint")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--as-seed", action="store_true", help="put the course chapter's own numbers beside")


def run(args: argparse.Namespace) -> int:
    """Print the table of the course's first chapter, with counted numbers."""
    from tiny_audio.errors import UnknownNameError
    from tiny_audio.models.ctc_model import CTCModel, is_ctc_checkpoint
    from tiny_audio.models.modules import ParameterCount, count_module, count_parameters
    from tiny_audio.recipes import RECIPES, build_recipe
    from tiny_audio.recipes.chapter_claims import CHAPTER_CLAIMS

    if args.model in RECIPES:
        recipe = build_recipe(args.model)
        counts, titles = recipe.count_parameters(), recipe.titles()
    elif is_ctc_checkpoint(args.model):
        model = CTCModel.load(Path(args.model))
        counts = {"encoder": count_module(model.encoder), "ctc_head": count_module(model.head)}
        titles = {"encoder": "ENCODER (AuT)", "ctc_head": f"CTC HEAD ({model.units.num_units} units and the blank)"}
    else:
        from tiny_audio.models.checkpoint import read_config, shipped_models
        from tiny_audio.recipes.recipe import component_titles

        try:
            config = read_config(args.model)
        except UnknownNameError as error:
            raise UnknownNameError("recipe or model", args.model, [*RECIPES, *shipped_models()]) from error
        counts, titles = count_parameters(config), component_titles(config)
    overall = sum(counts.values(), start=ParameterCount(total=0, trainable=0))
    if args.json:
        components = {name: {"total": count.total, "trainable": count.trainable} for name, count in counts.items()}
        print(json.dumps({"components": components, "total": overall.total, "trainable": overall.trainable}, indent=1))
        return 0
    claims = CHAPTER_CLAIMS.get(args.model, {}) if args.as_seed else {}
    rule = "=" * 50
    for name, count in [*counts.items(), ("overall", overall)]:
        is_overall = name == "overall"
        print(f"{rule}\nOVERALL MODEL\n{rule}" if is_overall else f"{titles[name]}\n{rule}")
        print(f"  Total params:      {count.total:>15,}")
        print(f"  Trainable params:  {count.trainable:>15,}")
        print(f"  Frozen params:     {count.frozen:>15,}")
        share = 100 * count.trainable / max(count.total, 1)
        print(f"  {'Efficiency:' if is_overall else 'Trainable: '}        {share:>14.2f}%")
        for claim in claims.get(name, ()):
            print(f"  The chapter says:  {claim.said}\n    {claim.reason}")
        print()
    if args.as_seed and not claims:
        print(f"No chapter gives numbers for '{args.model}'.")
    return 0
