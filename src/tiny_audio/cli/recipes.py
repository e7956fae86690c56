"""`tiny-audio recipes`: the systems that can be built and trained, with their sizes."""

import argparse
import json
from typing import Any

HELP = "list the systems that can be built and trained"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print a table; sizes are counted, not remembered."""
    from tiny_audio.recipes import RECIPES
    from tiny_audio.recipes.recipe import training_memory

    rows: list[dict[str, Any]] = []
    for build in RECIPES.values():
        recipe = build()
        counts = recipe.count_parameters()
        rows.append(
            {
                "name": recipe.name,
                "summary": recipe.summary,
                "stages": list(recipe.stages),
                "total": sum(count.total for count in counts.values()),
                "trainable": sum(count.trainable for count in counts.values()),
                "training_memory_bytes": training_memory(counts),
                "hardware": recipe.hardware,
            }
        )
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(f"{row['name']}\n  {row['summary']}")
        print(f"  parameters {row['total']:,}, trained {row['trainable']:,}")
        print(f"  weights and optimizer {row['training_memory_bytes'] / 1e9:.2f} GB, activations on top")
        print(f"  stages {', '.join(row['stages'])}; {row['hardware']}\n")
    return 0
