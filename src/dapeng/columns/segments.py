"""Label pictures out of outlines: polygons and run lengths, as COCO has them.

A cell is JSON: {"size": [height, width], "segments": [...]}, each with a "label", the whole number "value" that its pixels get (0 is what
no segment covers), and either "polygons" (lists of x, y, x, y, ... in pixels, whose union it is) or "counts": the lengths of runs, outside
and inside in turn, down one column after the other; as numbers, or as the letters of COCO's compressed form. Larger segments lie below
smaller ones. One that says "crowd" is neither learnt nor judged where no other lies.

Lin et al.: Microsoft COCO, 2014 (https://cocodataset.org/#format-data). A pixel belongs to a polygon if its middle does (even-odd rule).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

NOTHING = -(1 << 31)
"""Value of pixels of crowds; no file can hold it."""
MOST_SEGMENTS = 100_000
MOST_CROSSINGS = 20_000_000
"""Lines of pixels that the edges of one polygon cross, all together."""
OUTSIDE = "what no segment covers"


def is_segments(cell: object) -> bool:
    """Whether a cell is JSON of segments rather than a path."""
    return isinstance(cell, str) and cell.lstrip()[:1] == "{"


def names_in(cell: str) -> dict[int, str]:
    """What each value of a cell means. Raises ValueError with the reason."""
    return {int(s["value"]): str(s.get("label", s["value"])) for s in parsed(cell)[1] if not s.get("crowd")}


def parsed(cell: str) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    """Height and width, and the segments. Raises ValueError with the reason."""
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        raise ValueError("not segments in JSON") from None
    size, segments = (found.get("size"), found.get("segments")) if isinstance(found, dict) else (None, None)
    if not isinstance(size, list) or len(size) != 2 or not all(type(s) is int and s > 0 for s in size):
        raise ValueError("segments without a size of [height, width]")
    if not isinstance(segments, list) or not all(isinstance(s, dict) for s in segments):
        raise ValueError("not a list of segments")
    if len(segments) > MOST_SEGMENTS:
        raise ValueError(f"{len(segments):,} segments are over the cap of {MOST_SEGMENTS:,}")
    for number, one in enumerate(segments, 1):
        value = one.get("value")
        if not one.get("crowd") and (type(value) is not int or not 0 < value < 2**31 - 1):
            raise ValueError(f"segment {number} has no whole number above 0 as its value")
    return (size[0], size[1]), segments


def drawn(cell: str, most: int) -> np.ndarray:
    """(Y, X) int32 values of a cell's pixels. Raises ValueError with the reason; most: pixels."""
    (height, width), segments = parsed(cell)
    if height * width > most:
        raise ValueError(f"{width} x {height} pixels are over the cap of {most:,} (max_pixels)")
    out = np.zeros((height, width), np.int32)
    areas = []
    for number, one in enumerate(segments, 1):
        try:
            areas.append(_runs(inside(one, height, width)))
        except ValueError as error:
            raise ValueError(f"segment {number}: {error}") from None
    order = sorted(range(len(segments)), key=lambda i: (not segments[i].get("crowd"), -areas[i][1].sum()))
    flat = out.T.reshape(-1)  # a copy, down one column after the other
    for i in order:
        value = NOTHING if segments[i].get("crowd") else segments[i]["value"]
        for start, length in zip(*areas[i]):
            flat[start : start + length] = value
    return np.ascontiguousarray(flat.reshape(width, height).T)


def inside(segment: dict[str, Any], height: int, width: int) -> np.ndarray:
    """(Y, X) bool of the pixels of a segment. Raises ValueError with the reason."""
    if "counts" in segment:
        return run_lengths(segment["counts"], height, width)
    polygons = segment.get("polygons")
    if not isinstance(polygons, list) or not polygons:
        raise ValueError("it has neither polygons nor counts")
    out = np.zeros((height, width), bool)
    for polygon in polygons:
        fill(out, polygon)
    return out


def _runs(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of pixels inside begin, down one column after the other, and how long they are."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found.T.ravel(), [False]]).astype(np.int8)))
    return edges[::2], edges[1::2] - edges[::2]


def fill(out: np.ndarray, polygon: Any) -> None:
    """Add the pixels to (Y, X) whose middle lies in a polygon x, y, x, y, ..."""
    try:
        at = np.asarray(polygon, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ValueError("a polygon is no list of x, y, x, y, ...") from None
    if len(at) < 3:
        raise ValueError(f"a polygon of {len(at)} points has no area")
    if not np.isfinite(at).all() or (np.abs(at) > 1e6).any():
        raise ValueError("a polygon has points that are no places")
    height, width = out.shape
    x, y = at.T
    to_x, to_y = np.roll(at, -1, 0).T
    above = np.clip(np.ceil(np.minimum(y, to_y) - 0.5), 0, height).astype(
        np.int64
    )  # lines whose middle an edge crosses
    below = np.clip(np.ceil(np.maximum(y, to_y) - 0.5), 0, height).astype(np.int64)
    lines = below - above
    if lines.sum() > MOST_CROSSINGS:
        raise ValueError(f"a polygon whose edges cross more than {MOST_CROSSINGS:,} lines of pixels")
    edge = np.repeat(np.arange(len(at)), lines)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(lines) - lines, lines) + above[edge]
    slope = (to_x - x)[edge] / (to_y - y)[edge]
    crossing = np.clip(np.ceil(x[edge] + (line + 0.5 - y[edge]) * slope - 0.5), 0, width).astype(np.int64)
    if not len(line):
        return
    top, left = int(line.min()), int(crossing.min())
    odd = np.zeros((int(line.max()) - top + 1, int(crossing.max()) - left + 1), np.uint8)
    np.add.at(odd, (line - top, crossing - left), 1)
    part = (np.cumsum(odd, 1, dtype=np.uint8) & 1).astype(bool)[:, : width - left]
    out[top : top + len(part), left : left + part.shape[1]] |= part


def run_lengths(counts: Any, height: int, width: int) -> np.ndarray:
    """(Y, X) bool out of lengths of runs, as numbers or as COCO's letters. Raises ValueError where they don't make up the picture."""
    if isinstance(counts, str):
        counts = unpacked(counts)
    if not isinstance(counts, list) or not all(type(c) is int and c >= 0 for c in counts):
        raise ValueError("counts are no lengths of runs")
    if sum(counts) != height * width:
        raise ValueError(f"runs of {sum(counts):,} pixels on a picture of {height * width:,}")
    turns = np.arange(len(counts)) % 2 == 1
    return np.repeat(turns, counts).reshape(width, height).T


def unpacked(letters: str) -> list[int]:
    """Lengths of runs out of COCO's compressed form: five bits a letter, the lowest first, and from the fourth on the difference from
    the one before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in letters:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("counts are no compressed run lengths")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        value -= (1 << shift) if code & 16 else 0
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths that end too early")
    return counts
