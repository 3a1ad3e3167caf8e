"""What encoders give and decoders read, and its static side.

Legend: B rows, T tokens, D width, M ensemble members, C channels, Y X picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Features:
    """What a network has made of an input, or of all inputs. An encoder fills in what it can.

    pooled: (B, D), or (B, M, D) with ensemble members. tokens: (B, T, D). mask: (B, T) bool, True is real; None: all are.
    maps: pictures, finest first, (B, C_i, Y/s_i, X/s_i). present: (B,) bool, is this input there at all; None: it is.
    ids: (B, T) of the elements that the tokens stand for, in the column's own vocabulary: for what copies out of a text.
    affine: (B, 2, 3) from pixels of the picture as it came to pixels as they were read: for what lies in it; None: they are the same.
    pixels: (B, C, Y, X) of a picture, as it was read: for what is compared with it.
    """

    pooled: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    present: Tensor | None = None
    ids: Tensor | None = None
    affine: Tensor | None = None
    pixels: Tensor | None = None


@dataclass(frozen=True)
class Widths:
    """The sizes of a Features, known before a batch exists.

    pooled, tokens: D. maps: (channels, stride) of each level. aligned: token t stands for element t of the cell.
    stride: elements of the cell that a token stands for. seconds: how long that is; 0: no time. members: M.
    """

    pooled: int | None = None
    tokens: int | None = None
    maps: tuple[tuple[int, int], ...] = ()
    aligned: bool = False
    stride: int = 1
    seconds: float = 0.0
    members: int = 1

    @property
    def gives(self) -> frozenset[str]:
        names = {"pooled": self.pooled, "tokens": self.tokens, "maps": self.maps}
        return frozenset(n for n, w in names.items() if w)


def _flatten(f: Features):
    parts = {
        "pooled": f.pooled,
        "tokens": f.tokens,
        "mask": f.mask,
        "present": f.present,
        "ids": f.ids,
        "affine": f.affine,
        "pixels": f.pixels,
    }
    there = [n for n, t in parts.items() if t is not None]  # what is not there is no leaf: vmap takes tensors alone
    return [*(parts[n] for n in there), list(f.maps)], there


def _unflatten(values, there) -> Features:
    *tensors, maps = values
    return Features(**dict(zip(there, tensors)), maps=tuple(maps))


pytree.register_pytree_node(Features, _flatten, _unflatten, serialized_type_name="dapeng.Features")
