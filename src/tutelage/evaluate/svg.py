"""A matplotlib figure as SVG inside a page: text stays text, colours are the page's, nothing is styled inline.

The page forbids inline styles (its Content-Security-Policy), changes its colours with the reader's light or dark
setting, and holds several plots, whose ids must not meet. So each plot is drawn in stand-in colours and rewritten:
style declarations become attributes, stand-ins become CSS variables, ids carry the plot's key.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

INKS = ("ink", "quiet", "line", "page", "before", "after", *(f"series-{number}" for number in range(1, 7)))
STAND_IN = {name: f"#0102{number:02x}" for number, name in enumerate(INKS)}
VARIABLE = {colour: f"var(--{name})" for name, colour in STAND_IN.items()}
POINTS_PER_INCH = 72  # at this resolution a point of matplotlib is a unit of the SVG
SETTINGS: Any = {
    "axes.edgecolor": STAND_IN["line"],
    "axes.facecolor": "none",
    "axes.labelcolor": STAND_IN["quiet"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 12,
    "grid.color": STAND_IN["line"],
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "tutelage",  # the same report gives the same page, byte for byte
    "text.color": STAND_IN["ink"],
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    "xtick.color": STAND_IN["quiet"],
    "ytick.color": STAND_IN["quiet"],
}
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def inline_svg(draw: Callable[..., None], *, label: str, key: str, width: int = 360, height: int = 250) -> str:
    """What ``draw(axes)`` draws, as one ``<svg>`` element for an HTML page.

    Args:
        draw: draws on matplotlib axes, in the colours of `STAND_IN`.
        label: what a reader who cannot see the plot is told.
        key: unique on the page; every id inside begins with it.
        width: in CSS pixels at a zoom of 1; the page scales the plot to its column.
        height: the same.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS), warnings.catch_warnings():
        # The reader's browser picks the font: matplotlib only measures with its own, which lacks many scripts.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        figure = Figure((width / POINTS_PER_INCH, height / POINTS_PER_INCH), POINTS_PER_INCH, layout="constrained")
        draw(figure.subplots())
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return _for_a_page(drawn.getvalue(), printable(label), key)


def _for_a_page(text: str, label: str, key: str) -> str:
    root = ElementTree.fromstring(text)
    for unwanted in (f"{SVG}metadata", f"{SVG}defs"):
        for child in root.findall(unwanted):
            if child.find(f"{SVG}style") is not None or child.tag == f"{SVG}metadata":
                root.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.attrib = {name: _value(name, value, key) for name, value in _attributes(element.attrib).items()}
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "role": "img", "aria-label": label, "class": "plot"}
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(given: dict[str, str]) -> dict[str, str]:
    """Style declarations as presentation attributes; the font family is left to the page."""
    declarations = (part.partition(":") for part in given.get("style", "").split(";") if part.strip())
    style = {name.strip(): value.strip() for name, _, value in declarations}
    plain = {name.removeprefix(XLINK): value for name, value in given.items() if name != "style"}
    return plain | {name: value for name, value in style.items() if name != "font-family"}


def _value(name: str, value: str, key: str) -> str:
    """Ids and references with the plot's key before them, stand-in colours as the page's variables."""
    if name == "id":
        return f"{key}-{value}"
    if name == "href":
        return value.replace("#", f"#{key}-")
    return VARIABLE.get(value, re.sub(r"url\(#", f"url(#{key}-", value))


def printable(text: str) -> str:
    """Control characters, which no SVG may hold, as "�"."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
