"""Copies of our own modules that run without this package: what an export carries is the code that was tested here.

The modules that the roots import, directly or not, become files beside each other (`audio/vad.py` is `audio_vad.py`)
with relative imports. Only import statements change.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiny_audio.errors import ExportError

_ROOT = Path(__file__).parent.parent
_PACKAGE = _ROOT.name
STANDARD = sys.stdlib_module_names
"""What every Python brings."""


@dataclass(frozen=True)
class _Import:
    """One import statement and where it stands."""

    node: ast.Import | ast.ImportFrom
    is_lazy: bool
    """In a function, so that it is met only where it is needed."""
    is_for_types: bool
    """Under `if TYPE_CHECKING`, so that it is never run."""


def bundle(roots: Iterable[str], *, with_lazy: bool) -> dict[str, str]:
    """Source of each file by its name.

    Args:
        roots: dotted names of modules of this package.
        with_lazy: take what functions import too. Without it, such an import says that its module is not there.

    Raises:
        ExportError: a module imports the package itself, which has no file of its own in a bundle.
    """
    found: dict[str, list[_Import]] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found[module] = list(_imports(module))
            waiting += [name for item in found[module] for name in _needed(item, with_lazy=with_lazy)]
    return {f"{_flat(module)}.py": _rewrite(module, found[module], set(found)) for module in sorted(found)}


def entry(module: str) -> str:
    """Name of a module among the files of its bundle."""
    return _flat(module)


def _flat(module: str) -> str:
    return module.removeprefix(f"{_PACKAGE}.").replace(".", "_")


def _path(module: str) -> Path:
    return _ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _imports(module: str) -> Iterator[_Import]:
    def walk(node: ast.AST, is_lazy: bool, is_for_types: bool) -> Iterator[_Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield _Import(child, is_lazy, is_for_types)
            guard = child.test.id if isinstance(child, ast.If) and isinstance(child.test, ast.Name) else ""
            yield from walk(
                child,
                is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef),
                is_for_types or guard == "TYPE_CHECKING",
            )

    yield from walk(ast.parse(_path(module).read_text(encoding="utf-8")), False, False)


def _own_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Modules of this package that a statement imports."""
    if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != _PACKAGE:
        return []
    module = node.module or ""
    if _path(module).is_file():
        return [module]
    parts = [f"{module}.{alias.name}" for alias in node.names]
    if missing := [part for part in parts if not _path(part).is_file()]:
        raise ExportError(f"'{missing[0]}' is in no module of its own; expected an import from the module that has it")
    return parts


def _needed(item: _Import, *, with_lazy: bool) -> list[str]:
    return [] if (item.is_lazy or item.is_for_types) and not with_lazy else _own_modules(item.node)


def _rewrite(module: str, imports: list[_Import], present: set[str]) -> str:
    lines = _path(module).read_text(encoding="utf-8").splitlines()
    for item in sorted(imports, key=lambda item: -item.node.lineno):
        node = item.node
        changed = _statements(item, present)
        if changed is not None:
            indent = " " * node.col_offset
            lines[node.lineno - 1 : node.end_lineno] = [indent + line for line in changed]
    return "\n".join(lines) + "\n"


def _statements(item: _Import, present: set[str]) -> list[str] | None:
    """What stands in place of an import; None: it stays."""
    own = _own_modules(item.node)
    if not own:
        # Who reads the file to see what must be installed shall not count what is imported only if needed.
        is_optional = (item.is_lazy or item.is_for_types) and not _is_standard(item.node)
        text = ast.unparse(item.node)
        return ["try:", f"    {text}", "except ImportError:", "    raise"] if is_optional else None
    assert isinstance(item.node, ast.ImportFrom)
    if not present.issuperset(own):
        return ["pass"] if item.is_for_types else [f'raise ImportError("{own[0]} is no part of this export")']
    if own == [item.node.module]:
        names = ", ".join(ast.unparse(alias) for alias in item.node.names)
        return [f"from .{_flat(own[0])} import {names}"]
    # The first line is for transformers, which copies only the files that it sees named like this.
    return [
        line
        for name, alias in zip(own, item.node.names, strict=True)
        for line in (
            f"from .{_flat(name)} import __name__ as _name",
            f"from . import {_flat(name)} as {alias.asname or alias.name}",
        )
    ]


def _is_standard(node: ast.Import | ast.ImportFrom) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return all(name.split(".")[0] in STANDARD for name in names)
