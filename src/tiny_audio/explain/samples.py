"""The example clips: with the checkout, and in the installed package."""

from pathlib import Path

from tiny_audio import atomic
from tiny_audio.errors import OutputError

DEFAULT_SAMPLE = "LJ001-0009.flac"
"""What is looked at where no other clip is named."""
_INSTALLED = Path(__file__).parent.parent / "examples"
_CHECKOUT = Path(__file__).parents[3] / "examples"


def samples_folder() -> Path:
    """Where the example clips lie."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def copy_samples(folder: Path) -> list[Path]:
    """Copy clips, their manifest and where they are from; returns the files, those included that were there before.

    Raises:
        OutputError: another file has the name of one of them; nothing is written then.
    """
    sources = sorted(path for path in samples_folder().iterdir() if path.is_file())
    contents = {folder / source.name: source.read_bytes() for source in sources}
    present = {path for path in contents if path.exists()}
    for path in present:
        if not path.is_file() or path.read_bytes() != contents[path]:
            raise OutputError(str(path), "another file is there; move it, or name an --output-dir")
    for path in contents.keys() - present:
        atomic.write_bytes(path, contents[path])
    return list(contents)
