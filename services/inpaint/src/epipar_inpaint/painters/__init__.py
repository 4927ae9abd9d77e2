"""Painters by name: what a completion engine may paint holes with.

* exemplar  patches of the picture itself (PatchMatch); the default
* telea     OpenCV's fast marching: smooth, blurred; a baseline
"""

from __future__ import annotations

from collections.abc import Callable

from epipar_inpaint.painter import Painter
from epipar_inpaint.painters.exemplar import ExemplarPainter
from epipar_inpaint.painters.telea import TeleaPainter
from epipar_kit.errors import InvalidInputError

_PAINTERS: dict[str, Callable[[], Painter]] = {
    "exemplar": ExemplarPainter,
    "telea": TeleaPainter,
}

PAINTER_NAMES = tuple(_PAINTERS)


def make_painter(name: str) -> Painter:
    """Return a painter.

    Raises:
        InvalidInputError: BAD_OPTION, there is none of this name.
    """
    made = _PAINTERS.get(name)
    if made is None:
        known = ", ".join(PAINTER_NAMES)
        raise InvalidInputError(
            "BAD_OPTION", "options.painter", f"painter is {name[:80]!r}; it must be one of {known}"
        )
    return made()
