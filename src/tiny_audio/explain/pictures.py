"""Pictures as files: PNG, SVG, or a page of its own."""

import io
from html import escape
from pathlib import Path

from tiny_audio import atomic
from tiny_audio.errors import MissingExtraError
from tiny_audio.explain.findings import Draw

FORMATS = ("png", "svg", "html")
_DOTS_PER_INCH = 150


def save_picture(draw: Draw, path: Path) -> None:
    """Draw a picture and write it in the format that its suffix names; the file appears whole or not at all.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    atomic.write_bytes(path, render_picture(draw, path.suffix.removeprefix("."), title=path.stem))


def render_picture(draw: Draw, file_format: str, *, title: str) -> bytes:
    """The bytes of a picture in one of `FORMATS`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plots") from error
    # Fixed ids and no date: the same values give the same bytes.
    with rc_context({"svg.hashsalt": "tiny-audio", "font.size": 9, "axes.titlesize": 10}):
        figure = Figure(layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        is_raster = file_format == "png"
        metadata = {"Title": title} if is_raster else {"Title": title, "Date": None}
        figure.savefig(buffer, format="png" if is_raster else "svg", dpi=_DOTS_PER_INCH, metadata=metadata)
    return _page(buffer.getvalue().decode(), title) if file_format == "html" else buffer.getvalue()


def _page(svg: str, title: str) -> bytes:
    """The picture as a page that needs no other file."""
    drawing = svg[svg.index("<svg") :]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        "<style>body { margin: 1rem; background: #fff; } svg { max-width: 100%; height: auto; }</style>\n"
        f"</head>\n<body>\n{drawing}</body>\n</html>\n"
    ).encode()
