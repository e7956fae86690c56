"""`tiny-audio push`: publish a model on the hub."""

import argparse
import sys
from pathlib import Path

HELP = "publish a model on the hub, with a card that says how it came to be"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", help="folder of a run (its best weights are taken), checkpoint folder, or shipped model"
    )
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help="repository; it is made if there is none")
    parser.add_argument("--private", action="store_true", help="only you can see it")
    parser.add_argument(
        "--results",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="results.json of evaluations of the model, for the card (those in the run's folder are found)",
    )
    parser.add_argument("--license", default="", metavar="ID", help="of what you trained, such as apache-2.0")
    parser.add_argument(
        "--checkpoint-only", action="store_true", help="leave out frozen weights and code: for tiny-audio alone"
    )
    parser.add_argument("--dry-run", action="store_true", help="write the folder that would be sent, and send nothing")
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="a new folder for --dry-run")


def run(args: argparse.Namespace) -> int:
    """Write the folder, list it, and send it."""
    if args.dry_run != (args.output_dir is not None):
        print("tiny-audio: error: --dry-run and --output-dir go together", file=sys.stderr)
        return 2
    from tempfile import TemporaryDirectory

    from tiny_audio.publishing.hub_folder import check_repo, write_hub_folder
    from tiny_audio.publishing.upload import upload

    check_repo(args.repo)
    with TemporaryDirectory(prefix="tiny-audio-push-") as scratch:
        folder: Path = args.output_dir or Path(scratch) / "push"
        write_hub_folder(
            args.model,
            folder,
            repo=args.repo,
            results=args.results,
            licence=args.license,
            checkpoint_only=args.checkpoint_only,
        )
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            listed = path if args.dry_run else path.relative_to(folder)
            print(f"{listed}\t{path.stat().st_size:,} bytes", file=sys.stdout if args.dry_run else sys.stderr)
        if not args.dry_run:
            print(upload(folder, args.repo, private=args.private))
    return 0
