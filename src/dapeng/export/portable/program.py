"""The program of a standalone export: raw rows in, values in the user's units out."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

# --- shipped from here ---


class Seen:
    """Rows as classical learners see them, column by column."""

    def __init__(self, program, rows):
        self.program, self.cells, self.rows = program, rows, len(next(iter(rows.values())))

    def matrix(self, name):
        """(N, k) float32 with nan for missing."""
        column, cells = self.program.columns[name], self.cells[name]
        reader = self.program.readers[name]
        if hasattr(reader, "matrix"):
            return reader.matrix(cells)
        if column["type"] == "number":
            values = [reader.number(c) for c in cells]
            return np.array([[np.nan if v is None else v] for v in values], np.float32)
        return reader.encode(cells)["codes"].astype(np.float32)[:, None]

    def counts(self, name, han, lowercase, form):
        count = self.program.counts
        return [count("" if c is None else str(c), han, lowercase, form) for c in self.cells[name]]


class Program:
    """What columns.json describes. readers, learners: classes by name. counts: n-grams of a text, where they are needed."""

    def __init__(self, folder, readers, learners, counts=None):
        self.folder, self.counts = Path(folder), counts
        about = json.loads((self.folder / "columns.json").read_text("utf-8"))
        self.columns = {c["name"]: c for c in about["inputs"]}
        self.readers = {n: readers[c["reader"]](**c["arguments"]) for n, c in self.columns.items()}
        self.outputs, self.network = about["outputs"], about["network"]
        self.learners = {p: learners[kind](self.folder / p) for p, kind in about["learners"].items()}
        self.session = self.open() if self.network else None

    def open(self):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = str(self.folder / "model.onnx")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, rows, places=None):
        """Mappings of raw values by column -> mappings of predictions: a number, numbers, or a label or
        labels and the probability of each.

        A row that can't be read has None for all of them, and a warning on standard error. places: what it calls each row.
        """
        rows = list(rows)
        if not rows:
            return []
        for i, row in enumerate(rows):
            missing = [n for n in self.columns if n not in row]
            if missing:
                raise ValueError(f"row {i} has no column {missing[0]!r}")
        cells = {n: [None if r[n] == "" else r[n] for r in rows] for n in self.columns}
        try:
            return self.read(cells)
        except Exception:
            bad = self.unreadable(cells)
            if not bad:
                raise
        for i, reason in list(bad.items())[:5]:
            print(f"warning: {places[i] if places else f'row {i}'}: {reason}; no prediction", file=sys.stderr)
        if len(bad) > 5:
            print(f"warning: {len(bad) - 5} more rows have no prediction", file=sys.stderr)
        good = [i for i in range(len(rows)) if i not in bad]
        read = self.read({n: [c[i] for i in good] for n, c in cells.items()}) if good else []
        found = dict(zip(good, read))
        return [found[i] if i in found else dict.fromkeys(self.names()) for i in range(len(rows))]

    def names(self):
        """The keys of a prediction."""
        return [n for o in self.outputs for n in (o["name"], *(f"{o['name']}.{label}" for label in o["labels"] or ()))]

    def unreadable(self, cells):
        """Reasons by position of the rows that have a cell that can't be read."""
        bad = {}
        for name, reader in self.readers.items():
            for i, cell in enumerate(cells[name]):
                try:
                    reader.encode([cell])
                except Exception as error:
                    bad.setdefault(i, f"{name}: {error}")
        return dict(sorted(bad.items()))

    def read(self, cells):
        """Predictions of rows that can be read: their cells by column."""
        rows = next(iter(cells.values()))
        found = self.run(cells) if self.session is not None else {}
        seen = Seen(self, cells)
        out = [{} for _ in rows]
        for output in self.outputs:
            x = self.mixed(output, found, seen)
            for i, row in enumerate(out):
                row[output["name"]] = self.value(output, x[i])
                if output["labels"] is not None:
                    row.update({f"{output['name']}.{n}": float(p) for n, p in zip(output["labels"], x[i])})
        return out

    def value(self, output, x):
        """What is said of one row."""
        if output["answers"] == "label" and output.get("threshold") is not None:
            yes = output["positive"]
            return output["labels"][yes if x[yes] >= output["threshold"] else 1 - yes]
        if output["answers"] == "label":
            return output["labels"][int(x.argmax())]
        if output["answers"] == "labels":
            return [n for n, p, least in zip(output["labels"], x, output["thresholds"]) if p >= least]
        return [float(v) for v in x] if output["answers"] == "numbers" else float(x)

    def run(self, cells):
        """The network's outputs by name."""
        given, read = {}, {n: r.encode(cells[n]) for n, r in self.readers.items()}
        for tensor in self.network["inputs"]:
            parts = [read[c][tensor["tensor"]] for c in tensor["columns"]]
            given[tensor["name"]] = np.stack(parts, 1) if tensor["block"] else parts[0]
        assert self.session is not None
        names = [o["tensor"] for o in self.outputs]
        return dict(zip(names, self.session.run(names, given)))

    def mixed(self, output, found, seen):
        """The members' predictions by their shares."""
        total, x = sum(output["shares"].values()), np.zeros(1)
        for member, share in output["shares"].items():
            one = (
                found[output["tensor"]]
                if member == "network"
                else self.learners[output["places"][member]].predict(seen)
            )
            x = x + np.asarray(one, np.float64) * (share / total)
        return x


def command(program, arguments=None):
    """data.csv (or standard input) -> predictions as CSV on standard output."""
    parser = argparse.ArgumentParser(description="Predictions for the rows of a CSV file.")
    parser.add_argument("data", nargs="?", help="a CSV file with the columns " + ", ".join(program.columns))
    path = parser.parse_args(arguments).data
    try:
        stream = open(path, encoding="utf-8-sig", newline="") if path else sys.stdin  # noqa: SIM115 - closed below
    except OSError as error:
        print(f"error: can't read {path}: {error.strerror}", file=sys.stderr)
        return 2
    name = path or "standard input"
    with stream:
        reader = csv.DictReader(stream)
        missing = [n for n in program.columns if n not in (reader.fieldnames or ())]
        if missing:
            print(f"error: {name} has no column {', '.join(map(repr, missing))}", file=sys.stderr)
            return 2
        writer = csv.DictWriter(sys.stdout, program.names(), lineterminator="\n")
        writer.writeheader()
        joints = {o["name"]: o["joint"] for o in program.outputs}
        while chunk := [(f"{name}:{reader.line_num}", row) for _, row in zip(range(1000), reader)]:
            for row in program.predict([row for _, row in chunk], [place for place, _ in chunk]):
                writer.writerow({n: joints[n].join(map(str, v)) if isinstance(v, list) else v for n, v in row.items()})
    return 0
