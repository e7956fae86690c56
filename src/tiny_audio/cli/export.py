"""`tiny-audio export`: a model in the form of another runtime."""

import argparse
import sys
from pathlib import Path

HELP = "write a model for other runtimes: transformers, onnxruntime, llama.cpp"
_ONLY_FOR = {"quantize": ("onnx", "gguf"), "llm_only": ("gguf",), "reference_bases": ("transformers",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", help="name of a shipped model, or a checkpoint folder")
    parser.add_argument("--format", required=True, choices=("transformers", "onnx", "gguf"), help="for which runtime")
    parser.add_argument("-o", "--output-dir", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--quantize", action="store_true", help="onnx, gguf: weights in 8 bits")
    parser.add_argument("--llm-only", action="store_true", help="gguf: the language model alone, for any projector")
    parser.add_argument(
        "--reference-bases", action="store_true", help="transformers: name the frozen weights in place of copies"
    )


def run(args: argparse.Namespace) -> int:
    """Write the folder, and list what is in it."""
    for option, formats in _ONLY_FOR.items():
        if getattr(args, option) and args.format not in formats:
            print(
                f"tiny-audio: error: --{option.replace('_', '-')} is for --format {' or '.join(formats)}",
                file=sys.stderr,
            )
            return 2
    name = Path(args.model).name
    if args.format == "transformers":
        from tiny_audio.export.transformers_export import export_transformers

        export_transformers(args.model, args.output_dir, reference_bases=args.reference_bases)
    elif args.format == "onnx":
        from tiny_audio.export.onnx_export import export_onnx, load_for_onnx

        export_onnx(load_for_onnx(args.model), args.output_dir, name=name, quantize=args.quantize)
    else:
        from tiny_audio.export.gguf_export import export_gguf
        from tiny_audio.models.asr_model import ASRModel

        model = ASRModel.from_pretrained(args.model)
        export_gguf(model, args.output_dir, name=name, llm_only=args.llm_only, quantize=args.quantize)
    for path in sorted(args.output_dir.rglob("*")):
        if path.is_file() and path.suffix != ".py":
            print(f"{path}\t{path.stat().st_size / 1e6:.1f} MB")
    return 0
