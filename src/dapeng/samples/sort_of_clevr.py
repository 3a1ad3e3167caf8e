"""Questions on pictures of six coloured shapes, made by a stated procedure.

Santoro et al.: A simple neural network module for relational reasoning, 2017 (https://arxiv.org/abs/1706.01427), who made theirs so:
75 x 75 pixels, six objects of six colours that do not overlap, each a square or a circle; ten questions on one object alone and ten
on how it lies among the others, for each picture. Their questions are vectors of 11 bits; here they are sentences.
"""

from __future__ import annotations

import io
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part

SIDE = 75
HALF = 5
"""Half the side of a square, and the radius of a circle, in pixels."""
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "orange": (255, 156, 0),
    "grey": (128, 128, 128),
    "yellow": (255, 255, 0),
}
SHAPES = ("square", "circle")
ALONE = {
    "shape": "What shape is the {} object?",
    "left": "Is the {} object on the left?",
    "top": "Is the {} object at the top?",
}
AMONG = {
    "closest": "What shape is the object closest to the {} object?",
    "furthest": "What shape is the object furthest from the {} object?",
    "count": "How many objects have the shape of the {} object?",
}
QUESTIONS = 10
"""Of each kind, for a picture."""


@samples
class SortOfClevr(Sample):
    """10,000 made pictures of six coloured squares and circles, with 20 questions each: ten on one object, ten on how objects lie; 9,600, 200 and
    200 pictures train, validate and test.
    """

    type: Literal["sort_of_clevr"] = "sort_of_clevr"
    licence: ClassVar = "made by this package"
    source: ClassVar = "Made as Santoro et al., 2017, describe their Sort-of-CLEVR"
    rows: ClassVar = 200_000
    columns: ClassVar = ("picture", "question", "answer", "kind", "asked")
    target: ClassVar = "answer"
    pictures: ClassVar[dict[str, int]] = {"train": 9_600, "validation": 200, "test": 200}

    def load(self) -> dict[str, Source]:
        return {
            name: part(self.type, name, made(count, np.random.Generator(np.random.Philox([17, number]))))
            for number, (name, count) in enumerate(self.pictures.items())
        }


def made(count: int, draw: np.random.Generator) -> dict[str, pa.Array]:
    """Rows on so many pictures. Rows on one picture lie apart, so that the first rows show many of them."""
    scenes = [Scene(draw) for _ in range(count)]
    rows: list[tuple[int, str, str, str, str]] = []
    for number, scene in enumerate(scenes):
        for kind, forms in (("alone", ALONE), ("relational", AMONG)):
            for _ in range(QUESTIONS):
                asked, thing = list(forms)[draw.integers(len(forms))], int(draw.integers(len(COLOURS)))
                question = forms[asked].format(list(COLOURS)[thing])
                rows.append((number, question, scene.answer(asked, thing), kind, asked))
    rows = [rows[i] for i in draw.permutation(len(rows))]
    files = [scene.file() for scene in scenes]
    columns: dict[str, Any] = {"picture": pa.array([files[r[0]] for r in rows], pa.binary())}
    return columns | {n: pa.array([r[i] for r in rows]) for i, n in enumerate(SortOfClevr.columns) if i}


class Scene:
    """Six objects: centres (6, 2) in pixels, x first, and shapes (6,), in the order of the colours."""

    def __init__(self, draw: np.random.Generator):
        centres: list[np.ndarray] = []
        while len(centres) < len(COLOURS):
            at = draw.integers(HALF, SIDE - HALF, 2)
            # as far apart as two circles that don't touch, along an axis at least
            if all(np.abs(at - other).max() > 2 * HALF for other in centres):
                centres.append(at)
        self.centres = np.stack(centres)
        self.shapes = draw.integers(0, len(SHAPES), len(COLOURS))

    def answer(self, asked: str, thing: int) -> str:
        """The answer to a question on one of the objects."""
        x, y = self.centres[thing]
        if asked in ("left", "top"):
            return "yes" if (x if asked == "left" else y) < SIDE / 2 else "no"
        if asked == "count":
            return str(int((self.shapes == self.shapes[thing]).sum()))
        if asked != "shape":
            away = ((self.centres - self.centres[thing]) ** 2).sum(1).astype(float)
            away[thing] = np.inf if asked == "closest" else -np.inf
            thing = int(away.argmin() if asked == "closest" else away.argmax())
        return SHAPES[self.shapes[thing]]

    def file(self) -> bytes:
        """The bytes of a PNG."""
        from PIL import Image, ImageDraw

        picture = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
        pen = ImageDraw.Draw(picture)
        for (x, y), shape, colour in zip(self.centres.tolist(), self.shapes, COLOURS.values()):
            box = [x - HALF, y - HALF, x + HALF, y + HALF]
            (pen.rectangle if SHAPES[shape] == "square" else pen.ellipse)(box, fill=colour)
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=1)
        return out.getvalue()
