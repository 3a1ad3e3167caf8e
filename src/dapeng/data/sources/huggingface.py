"""Data sets of Hugging Face: a folder that `save_to_disk` wrote, read with pyarrow alone; objects in memory; names on the hub.

What a data set says about its columns is kept: class labels come as their names, pictures and sounds as the bytes of their files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DapengError, DataError, Problem, need_extra
from dapeng.core.files import read_json
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import arrow_files, files
from dapeng.data.sources.base import Reader, refuse_unusable
from dapeng.data.table import PART_NAMES, Block, Concat, Source, content_hash

STATE, SPLITS, INFO = "state.json", "dataset_dict.json", "dataset_info.json"
HUB = "hf://"
FILES = ("Image", "Audio", "Video", "Pdf")
"""Features whose cells are {bytes, path}."""


@sources
class HuggingFaceOptions(Reader):
    """A data set of Hugging Face: a folder of save_to_disk, a Dataset or DatasetDict from Python, or hf://NAME on the hub.

    Splits called train, validation and test are the parts. A folder needs nothing installed; hf://NAME, or
    hf://NAME#CONFIGURATION, needs the network and `pip install 'dapeng[datasets]'`.

    Example: `dapeng train saved_digits/ --target label`
    """

    type: Literal["huggingface"] = "huggingface"

    @classmethod
    def matches(cls, address: object) -> bool:
        if isinstance(address, (str, Path)):
            folder = Path(address)
            return str(address).startswith(HUB) or (folder / STATE).is_file() or (folder / SPLITS).is_file()
        return _is_object(address)

    @classmethod
    def whole(cls, address: str, base: Path | None) -> str | None:
        return address if address.startswith(HUB) else None

    def open(self, address: object, data: Data) -> Source:
        parts = self.parts(address, data)
        return next(iter(parts.values())) if len(parts) == 1 else Concat(list(parts.values()), str(address))

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        if isinstance(address, str) and address.startswith(HUB):
            address = _from_hub(address)
        if isinstance(address, (str, Path)):
            return _of_folder(Path(address), data)
        if isinstance(address, Mapping):
            return _named({str(n): ObjectSource(d, str(n), data) for n, d in address.items()})
        return {"all": ObjectSource(address, "the data set", data)}


def _is_object(address: object) -> bool:
    """True for the classes of the package `datasets`, which is not imported for the question."""
    return any(c.__module__.split(".")[0] == "datasets" and "Dataset" in c.__name__ for c in type(address).__mro__)


def _named(found: dict[str, Source]) -> dict[str, Source]:
    """Sources by split as parts; where none is called train, all of them are one table."""
    if len(found) == 1:
        return {"all": next(iter(found.values()))}
    parts = {PART_NAMES[n]: s for n, s in found.items() if n in PART_NAMES}
    if "train" not in parts:
        return {"all": Concat(list(found.values()), "the data set")}
    left = [n for n in found if n not in PART_NAMES]
    if left:
        parts["train"].note("warning", parts["train"].name, f"splits that are no part are not read: {', '.join(left)}")
    return parts


def _of_folder(folder: Path, data: Data) -> dict[str, Source]:
    if not (folder / SPLITS).is_file():
        return {"all": SavedSource(folder, data)}
    said = _json(folder, SPLITS)
    names = said.get("splits")
    if not isinstance(names, list) or not names:
        raise DataError(Problem(str(folder / SPLITS), "names no splits", "save the data set anew"))
    return _named({str(n): SavedSource(_inside(folder, str(n)), data) for n in names})


def _inside(folder: Path, name: str) -> Path:
    """A file or a folder directly within one; a name that leads elsewhere is refused."""
    if not name or Path(name).name != name or name in (".", ".."):
        raise DataError(Problem(str(folder), f"the name {name!r} leads out of the data set", "save it anew"))
    return folder / name


def _json(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).is_file():
        raise DataError(Problem(str(folder / name), "is missing: the data set is not whole", "save or copy it anew"))
    try:
        found = read_json(folder / name)
    except DapengError as error:
        raise DataError(error.problems) from None
    return found if isinstance(found, dict) else {}


class _Features:
    """What a data set says about its columns, and the cells by it."""

    def __init__(self, features: Mapping[str, Any] | None):
        self.labels: dict[str, list[str]] = {}
        self.files: list[str] = []
        for name, feature in (features or {}).items():
            kind = feature.get("_type") if isinstance(feature, Mapping) else None
            if kind == "ClassLabel" and isinstance(feature.get("names"), list):
                self.labels[name] = [str(n) for n in feature["names"]]
            elif kind in FILES:
                self.files.append(name)

    def read(self, table: pa.Table, name: str, start: int) -> pa.Table:
        for i, column in enumerate(table.column_names):
            cells = table.column(i)
            if column in self.labels and pa.types.is_integer(cells.type):
                cells = _names(cells, self.labels[column], f"{name} row {start}", column)
            elif column in self.files and pa.types.is_struct(cells.type):
                cells = pa.chunked_array([pa.array([_content(c) for c in cells.to_pylist()], pa.binary())])
            else:
                continue
            table = table.set_column(i, column, cells)
        return table.replace_schema_metadata(None)


def _names(cells: pa.ChunkedArray, labels: list[str], where: str, column: str) -> pa.ChunkedArray:
    """Class labels as their names; -1 says that there is none, as on the hub's test splits."""
    codes = cells.fill_null(-1).to_numpy().astype(np.int64)
    if len(codes) and codes.max() >= len(labels):
        what = f"the label {int(codes.max())} of {column!r} is not among the {len(labels)} of the data set"
        raise DataError(Problem(where, what, "save the data set with the names of its labels"))
    known = pa.array(labels, pa.string())
    return pa.chunked_array([known.take(pa.array(codes, mask=codes < 0))])


def _content(cell: dict[str, Any] | None) -> bytes | None:
    """The bytes of a {bytes, path}; what can't be read is empty, which its column quarantines."""
    if cell is None:
        return None
    if cell.get("bytes") is not None:
        return cell["bytes"]
    path = cell.get("path")
    try:
        return None if not path else Path(path).read_bytes()
    except OSError:
        return b""


class SavedSource(Source):
    """One data set that was saved: Arrow streams, and what is said about them."""

    def __init__(self, folder: Path, data: Data):
        super().__init__()
        self.folder, self.data, self.name, self.base, self._hash = folder, data, folder.name, folder, ""
        said = _json(folder, STATE).get("_data_files") or []
        self.files = [_inside(folder, str(f.get("filename"))) for f in said if isinstance(f, dict)]
        missing = next((f for f in self.files if not f.is_file()), None)
        if missing is not None:
            raise DataError(Problem(str(missing), "is missing: the data set is not whole", "save or copy it anew"))
        if not self.files:
            raise DataError(Problem(self.name, "no rows", "check how the data set was saved"))
        self.size = sum(f.stat().st_size for f in self.files)
        self.names = list(arrow_files.schema(self.files[0]).names)
        refuse_unusable(self.name, self.names, None, data)
        info = _json(folder, INFO) if (folder / INFO).is_file() else {}
        features = info.get("features")
        self.features = _Features(features if isinstance(features, dict) else None)

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        start = 0
        for file in self.files:
            for table in arrow_files.batches(file, names):
                for at in range(0, table.num_rows, rows):
                    block = Block(start, self.features.read(table.slice(at, rows), self.name, start))
                    start += len(block)
                    refuse_unusable(self.name, self.names, start, self.data)
                    yield block
        if start == 0:
            raise DataError(Problem(self.name, "no rows", "check how the data set was saved"))
        self.rows = start

    def fingerprint(self) -> str:
        if not self._hash:
            every = [*self.files, *(f for f in (self.folder / INFO,) if f.is_file())]
            hashes = "\n".join(files.fingerprint(f, self.data) for f in every)
            self._hash = hashlib.sha256(hashes.encode()).hexdigest()
        return self._hash


class ObjectSource(Source):
    """A `datasets.Dataset` in memory, with its shuffles and selections."""

    def __init__(self, dataset: Any, name: str, data: Data):
        super().__init__()
        self.name, self.data, self._hash = name, data, ""
        if not hasattr(dataset, "num_rows"):
            what = "is a data set that streams: its rows can't be counted, or read twice"
            raise DataError(Problem(name, what, "load it without streaming, or save it to disk first"))
        self.dataset = dataset.with_format("arrow")
        self.names, self.rows = list(dataset.column_names), int(dataset.num_rows)
        refuse_unusable(name, self.names, self.rows, data)
        self.features = _Features(dataset.features.to_dict())

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.dataset if names is None else self.dataset.select_columns(names)
        rows = min(rows, 4096)  # rows that were shuffled are gathered, and may hold pictures
        for start in range(0, self.rows or 0, rows):
            table = chosen[start : start + rows]
            yield Block(start, self.features.read(table if names is None else table.select(names), self.name, start))

    def fingerprint(self) -> str:
        self._hash = self._hash or content_hash(self)
        return self._hash


def _from_hub(address: str) -> Any:
    """A data set of the hub, by its name; the only place here that goes over the network."""
    name, _, configuration = address.removeprefix(HUB).removeprefix("datasets/").partition("#")
    if not name:
        raise DataError(Problem(address, "names no data set", "as in hf://ylecun/mnist"))
    try:
        import datasets
    except ImportError:
        raise need_extra("datasets", "datasets") from None
    try:
        return datasets.load_dataset(name, configuration or None)
    except ValueError as error:
        if "onfig" in str(error):  # several configurations, or none of that name: the message lists them
            known = list(datasets.get_dataset_config_names(name))
            close = get_close_matches(configuration, known, n=1)
            hint = (
                f"did you mean {HUB}{name}#{close[0]}?" if close else f"{HUB}{name}#NAME with one of {', '.join(known)}"
            )
            raise DataError(Problem(address, "which configuration?", hint)) from None
        raise _unreachable(address, error) from None
    except Exception as error:  # of many packages: requests, fsspec, huggingface_hub, pyarrow
        raise _unreachable(address, error) from None


def _unreachable(address: str, error: Exception) -> DataError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    hint = "check the name and the network; a data set that save_to_disk wrote is read from its folder"
    return DataError(Problem(address, f"can't be had from the hub{offline}: {first}", hint))
