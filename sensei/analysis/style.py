"""One look for every figure: colours that stay apart for colour-blind readers, sizes of a two-column page, vector fonts.

No plotting library is imported before something is drawn, so that whoever only plans a study, or wants a colour, does not wait for one.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sensei.core.errors import SenseiError
from sensei.core.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLUMN_WIDTH = 3.25  # inches
FULL_WIDTH = 6.75
PNG_DPI = 300
FONT_SCALE = 0.8  # of seaborn's context "paper": 7.7 points

# In the order of bars and legends. Okabe and Ito's palette and three darker colours; tests hold them apart for colour-blind readers.
COLOURS = {
    "sensei": "#D55E00",
    "sensei_released": "#7B2D00",
    "sensei_general": "#4B1D91",
    "plan2explore": "#0072B2",
    "vlm_motif": "#009E73",
    "dreamerv3": "#CC79A7",
    "ppo": "#E69F00",
    "rnd": "#56B4E9",
    "random": "#5F5F5F",
}
# Of the paper's ablations; apart from those above, and from each other as far as sixteen more can be.
VARIANT_COLOURS = {
    "sensei_right_camera": "#806040",
    "sensei_oracle_p2x": "#80E080",
    "sensei_oracle_ceeus": "#400060",
    "sensei_hp1": "#80E040",
    "sensei_hp2": "#60E0C0",
    "sensei_hp3": "#A08040",
    "sensei_noise10": "#80E0A0",
    "sensei_noise20": "#806050",
    "sensei_noise30": "#400070",
    "sensei_generation1": "#0000A0",
    "sensei_generation2": "#602040",
    "sensei_gpt4_replication": "#A04000",
    "sensei_llava_replication": "#606080",
    "fixed_a0.1_b1": "#6040E0",
    "fixed_a0.25_b1": "#6040C0",
    "fixed_a0.5_b1": "#0000C0",
    "fixed_a1_b0.1": "#C0A060",
    "fixed_a1_b0.25": "#E0C0E0",
    "fixed_a1_b0.5": "#80E060",
}
SPARE_COLOURS = ("#44AA99", "#882255", "#117733", "#6699CC", "#AA4499")
# None that a method wears.
ANNOTATOR_COLOURS = ("#602060", "#C0A040", "#0000E0", "#E0A0A0", "#602020", "#0080E0")
# A second sign beside the colour, for black-and-white print.
MARKERS = {
    "sensei": "o",
    "plan2explore": "s",
    "vlm_motif": "^",
    "dreamerv3": "D",
    "ppo": "v",
    "rnd": "P",
    "random": "X",
    "sensei_released": "p",
    "sensei_general": "h",
    "sensei_hp1": "d",
    "sensei_hp3": "H",
    "sensei_generation1": "<",
    "sensei_generation2": ">",
}
INK = "#262626"  # seaborn's
FAINT = "#777777"
DASHES = (0, (2, 1.5))

# On top of seaborn's style "ticks" and context "paper".
RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same drawing on every machine
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "projecting",  # seen however short an interval is
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "sensei",
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.04,
}
# How seaborn's functions read `with_interval`: of the three values the middle one, and from the lowest to the highest.
INTERVAL = {"estimator": "median", "errorbar": ("pi", 100)}


@dataclass(frozen=True)
class Drawing:
    """A figure, the exact numbers it shows and the caption that says what they are."""

    figure: Figure
    numbers: pd.DataFrame
    caption: str


def styled() -> contextlib.AbstractContextManager[None]:
    """Context in which figures get their look."""
    import matplotlib

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # else a page of notes for every vector font written
    return matplotlib.rc_context(_theme())


def _theme() -> dict[str, Any]:
    import seaborn as sns

    return sns.axes_style("ticks") | sns.plotting_context("paper", font_scale=FONT_SCALE) | RC


def figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """An empty figure of `width` by `height` inches that lays itself out."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def with_interval(means: pd.DataFrame) -> pd.DataFrame:
    """`means` three times over, with the ends of the interval, columns low and high, as `value` too: what `INTERVAL` is for.

    So the statistics drawn are ours (`sensei.analysis.statistics`, or the published ones), not seaborn's own.
    """
    return pd.concat([means, *(means.assign(value=means[end]) for end in ("low", "high"))], ignore_index=True)


def colour(method: str) -> str:
    """The colour of `method`, in every figure; a method of one's own gets one by its name."""
    return (COLOURS | VARIANT_COLOURS).get(method) or SPARE_COLOURS[zlib.crc32(method.encode()) % len(SPARE_COLOURS)]


def marker(method: str) -> str:
    """The marker of `method`, in every figure."""
    return MARKERS.get(method, "*")


def colours_of(annotators: Iterable[str]) -> dict[str, str]:
    """Annotator -> its colour, by its place among `annotators`."""
    return dict(zip(dict.fromkeys(annotators), itertools.cycle(ANNOTATOR_COLOURS), strict=False))


def ordered(methods: Iterable[str]) -> list[str]:
    """`methods`, each once, in the order of `COLOURS`; others after them, in their own order."""
    methods = list(methods)
    return [method for method in dict.fromkeys([*COLOURS, *methods]) if method in methods]


def count(value: float) -> str:
    """A number as short text: 500000 -> 500K, 1500000 -> 1.5M, 0.25 -> 0.25."""
    for size, suffix in ((1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def count_axis(axis: Axis, ticks: int) -> None:
    """Short tick labels on `axis`, at most `ticks` intervals."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


def save(drawing: Drawing, pdf: Path, png: Path, csv: Path) -> None:
    """Write a drawing as a vector, as a picture (300 dpi) and as the numbers drawn, each whole or not at all.

    The caption goes into the metadata of both pictures (`read_caption`), so that neither travels without it; there are no
    dates, so equal data give equal bytes.
    """
    title = pdf.stem.replace("_", " ")
    with styled():
        with atomic(csv) as path:
            drawing.numbers.to_csv(path, index=False, lineterminator="\n")
        with atomic(pdf) as path:
            metadata = {"Title": title, "Subject": drawing.caption, "CreationDate": None, "Creator": "sensei", "Producer": None}
            path.write_bytes(_drawn(drawing, format="pdf", metadata=metadata))
        with atomic(png) as path:
            metadata = {"Title": title, "Description": drawing.caption, "Software": "sensei"}
            path.write_bytes(_drawn(drawing, format="png", dpi=PNG_DPI, metadata=metadata))


def _drawn(drawing: Drawing, **options: Any) -> bytes:
    """The content of a picture; writing it is left to us, since the PDF writer hides what the system says of a full disk."""
    content = io.BytesIO()
    drawing.figure.savefig(content, **options)
    return content.getvalue()


def read_caption(png: str | Path) -> str:
    """The caption inside a picture that `save` wrote; a missing or damaged picture is a SenseiError that names it."""
    from PIL import Image

    try:
        with Image.open(png) as image:
            image.load()
            return image.text["Description"]
    except FileNotFoundError as error:
        raise SenseiError(f"there is no {png}", hint="run the stage `figure` first") from error
    except (OSError, SyntaxError, KeyError, AttributeError) as error:
        raise SenseiError(f"{png} is damaged", expected="a picture with its caption inside", hint=f"delete {png} and run again") from error


def wrapped(text: str, inches: float, size: str) -> str:
    """`text` broken between words into lines that are at most `inches` wide in the font size that setting `size` gives."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_inches(longer, size) > inches:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def size(setting: str) -> float:
    """The font size that a setting ("axes.titlesize") gives, in points."""
    return _theme()[setting]


def zero(axes: Axes, x: float, y: float, away: tuple[int, int]) -> None:
    """Say that a bar at (x, y) is zero, `away` points from there: without it, none could be told from one that is missing."""
    axes.annotate("0", (x, y), away, textcoords="offset points", ha="center", va="center", fontsize="x-small", color=FAINT)


def text_inches(text: str, size: str) -> float:
    """Width of `text` in the font size that setting `size` ("axes.titlesize") gives, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    theme = _theme()
    return float(TextPath((0, 0), text, size=theme[size], prop=FontProperties(family=theme["font.family"])).get_extents().width) / 72
