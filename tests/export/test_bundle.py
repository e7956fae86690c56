"""Copies of our modules: complete, relative, and with nothing changed but imports."""

import ast
import re
from pathlib import Path

import pytest

import tiny_audio
from tiny_audio.errors import ExportError
from tiny_audio.export import bundle as bundles
from tiny_audio.export.bundle import bundle, entry
from tiny_audio.export.onnx_export import READER
from tiny_audio.export.transformers_export import ENTRY, OPTIONAL_PACKAGES, PACKAGES

IN_TRANSFORMERS = {"filelock", "huggingface_hub", "httpx2", "numpy", "safetensors", "tokenizers", "torch", "tqdm"}
"""What comes with transformers and torch."""


def required_packages(source: str) -> set[str]:
    """As transformers finds them: every absolute import that stands in no `try`."""
    names: set[str] = set()

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                names.update(alias.name.split(".")[0] for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and not child.level and child.module:
                names.add(child.module.split(".")[0])
            if not isinstance(child, ast.Try):
                walk(child)

    walk(ast.parse(source))
    return names


@pytest.mark.parametrize(("root", "with_lazy"), [(READER, False), (ENTRY, True)])
def test_a_bundle_imports_only_its_own_files_and_what_is_installed(root: str, with_lazy: bool) -> None:
    files = bundle([root], with_lazy=with_lazy)

    assert f"{entry(root)}.py" in files
    for source in files.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != "tiny_audio"
                named = [node.module] if node.module else [alias.name for alias in node.names]
                assert not node.level or all(f"{name}.py" in files for name in named)


def test_transformers_sees_every_file_and_asks_for_no_package_that_the_folder_does_not_name() -> None:
    files = bundle([ENTRY], with_lazy=True)
    seen, waiting = set(), [entry(ENTRY)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += re.findall(r"^\s*from\s+\.(\S+)\s+import", files[f"{name}.py"], flags=re.MULTILINE)
    named = {package.replace("-", "_") for package in PACKAGES}

    assert {f"{name}.py" for name in seen} == set(files)
    for source in files.values():
        found = {name for name in required_packages(source) if name not in bundles.STANDARD}
        assert found <= named | IN_TRANSFORMERS
    everything = "\n".join(files.values())
    assert all(f"import {package}" in everything for package in OPTIONAL_PACKAGES)


def test_the_reader_of_onnx_needs_no_torch() -> None:
    files = bundle([READER], with_lazy=False)

    assert not any({"torch", "transformers"} & required_packages(source) for source in files.values())


def test_nothing_but_imports_differs_from_the_original() -> None:
    def without_imports(source: str) -> str:
        class Remove(ast.NodeTransformer):
            def visit_Import(self, node: ast.Import) -> None:
                return None

            def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
                return None

        return ast.dump(Remove().visit(ast.parse(source)))

    package = Path(tiny_audio.__file__).parent
    files = bundle([READER], with_lazy=True)

    assert without_imports(files["inference_guards.py"]) == without_imports(
        (package / "inference/guards.py").read_text(encoding="utf-8")
    )


def test_a_lazy_import_that_is_not_carried_says_so() -> None:
    source = bundle(["tiny_audio.inference.transcriber"], with_lazy=False)["inference_transcriber.py"]

    assert 'raise ImportError("tiny_audio.models.whisper_decoder is no part of this export")' in source


def test_a_name_of_the_package_itself_cannot_be_carried() -> None:
    with pytest.raises(ExportError, match=r"'tiny_audio.__version__' is in no module of its own"):
        bundle(["tiny_audio.training.run_directory"], with_lazy=False)
