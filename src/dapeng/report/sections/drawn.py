"""Pictures that were drawn for test rows, beside real ones; those that are nearest to training pictures; and how they came to be."""

from __future__ import annotations

import base64
import io
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.pictures import Unreadable, grid_of, open_picture, pixels_of, png_of
from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, own
from dapeng.report.rows import cells_of, tested_tensors
from dapeng.report.section import Section, outputs

ACROSS, DOWN = 10, 6
LARGEST_SIDE, MOST_BYTES = 1000, 900_000
"""Of one grid: its longer side in pixels, and its bytes."""
SEEN_SIDE = 360
"""What the longer side of a smaller grid is enlarged to, about."""
STAGES = 5


@sections
class Drawn(Section):
    """Grids of drawn pictures and of real ones, of the same rows; of the nearest to training pictures; and through training."""

    type: Literal["drawn"] = "drawn"
    order: ClassVar[int] = 41
    title: ClassVar[str] = "What was drawn"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("task") == "image" and "shape" in o}
        parts = [part(folder, n, o) for n, o in each.items() for part in (_beside, _nearest, _stages)]
        return join(*parts) if each else None


def _beside(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe | None:
    """Drawn and real pictures of the same test rows; by what was asked, where that is known."""
    tensors, rows = tested_tensors(folder, name)
    if rows is None or not len(rows):
        return None
    at = _chosen(tensors.get("asked"), len(rows))
    both = [np.asarray(tensors[k])[at].reshape(-1, *found["shape"]).astype(np.uint8) for k in ("pixels", "truth")]
    titles = ("Drawn for test rows", "The real pictures of the same rows")
    figures = [_figure(grid_of(p, ACROSS), f"{name}: {t.lower()}", t) for p, t in zip(both, titles)]
    return el("div", *figures, class_="maps")


def _chosen(asked: np.ndarray | None, rows: int) -> np.ndarray:
    """Positions of the rows that are shown: a column for each label, as far as there are columns."""
    if asked is None:
        return np.unique(np.linspace(0, rows - 1, min(ACROSS * DOWN, rows)).astype(int))
    labels, first = np.unique(asked, return_index=True)
    labels = labels[np.argsort(first)][:ACROSS]
    each = [np.flatnonzero(asked == label)[:DOWN] for label in labels]
    few = min(map(len, each))
    return np.array([e[i] for i in range(few) for e in each]) if len(labels) == ACROSS else np.concatenate(each)


def _nearest(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe | None:
    near, (tensors, rows) = found.get("nearest"), tested_tensors(folder, name)
    if not near or rows is None:
        return None
    usual, drawn = np.median(near["real"]), np.median(near["drawn"])
    said = (
        f"Learnt by heart? Of {len(near['drawn']):,} drawn pictures the nearest of {near['searched']:,} training pictures is usually "
        f"{number(float(drawn), 3)} away (root mean square of the pixels, 0 to 1); of as many real pictures that did not train, "
        f"{number(float(usual), 3)}. {near['copies']:,} drawn ones are nearer than half of that, and {near['copies_of_real']:,} "
        "real ones."
    )
    cells = cells_of(folder, [name], [s["trained"] for s in near["shown"]])
    if cells.why_not:
        return el("p", said, " ", cells.why_not[:1].upper() + cells.why_not[1:] + ".", class_="note")
    shape = tuple(found["shape"])
    pictures = [np.asarray(tensors["pixels"][s["row"]]).reshape(shape).astype(np.uint8) for s in near["shown"]]
    trained = [_read(cells.cells.get(s["trained"], {}).get(name), cells.base, shape) for s in near["shown"]]
    pairs = grid_of(np.stack([*pictures, *trained]), len(pictures))
    words = "Above the drawn pictures that are nearest to training pictures, below those."
    return join(
        el("p", said), _figure(pairs, f"{name}: drawn pictures and the training pictures nearest to them", words)
    )


def _read(cell: Any, base: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A cell as (C, Y, X) uint8; grey where it can't be read any more."""
    cell = (cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell
    try:
        picture = pixels_of(open_picture(cell, base), shape[0]).resize((shape[2], shape[1]))
    except (Unreadable, TypeError):
        return np.full(shape, 128, np.uint8)
    pixels = np.asarray(picture)
    return pixels[None] if shape[0] == 1 else pixels.transpose(2, 0, 1)


def _stages(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe | None:
    """Grids that were drawn while it was trained, from the first to the last."""
    from dapeng.train.samples import FOLDER

    files = sorted((folder.path / FOLDER).glob(f"{name}-*.png"))
    if not files:
        return None
    at = np.unique(np.linspace(0, len(files) - 1, min(STAGES, len(files))).astype(int))
    figures = []
    for i in at:
        try:
            picture = pixels_of(open_picture(str(files[i]), None), 3)
        except Unreadable:
            continue
        pixels = np.asarray(picture).transpose(2, 0, 1)
        figures.append(_figure(pixels, f"{name} while it was trained, {i + 1} of {len(files)}", files[i].stem))
    return join(el("p", "Through training, ", own(name), ":"), el("div", *figures, class_="maps"))


def _figure(pixels: np.ndarray, alt: str, caption: str) -> Safe | None:
    from PIL import Image

    data, (height, width) = png_of(pixels), pixels.shape[1:]
    kind, small = "png", max(height, width) <= LARGEST_SIDE
    if not small or len(data) > MOST_BYTES:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=80)
        data, kind, (width, height) = out.getvalue(), "jpeg", picture.size
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    times = max(SEEN_SIDE // max(height, width), 1)
    width, height = width * times, height * times
    image = el("img", src=uri, alt=alt, width=width, height=height, loading="lazy", class_="sharp" if small else None)
    return el("figure", image, el("figcaption", caption))
