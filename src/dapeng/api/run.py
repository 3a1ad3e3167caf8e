"""A trained run: what is in its folder, and what can be done with it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.api.rows import paths_of, rows_for, source_of, with_files
from dapeng.core.console import warn
from dapeng.core.errors import DataError
from dapeng.core.run import RunFolder
from dapeng.product.files import load as load_product
from dapeng.product.product import Answer, Product


class Run:
    """A run folder. path: where it is."""

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.path: Path = folder.path
        self._engines: dict[tuple[str, str], Any] = {}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def product(self) -> Product:
        """The trained model with its columns; loaded at first use, every file checked."""
        return load_product(self.folder)

    @property
    def metrics(self) -> dict[str, Any]:
        """Every figure of the test rows, as in metrics.json."""
        return self.folder.read_json("metrics.json")

    def evaluate(self, data: Any = None) -> Any:
        """Metrics with intervals: of the run's own test rows, or of other rows that have the true answers."""
        from dapeng.evaluate.text import Verdict

        if data is None:
            return Verdict(self.metrics)
        from dapeng.evaluate.again import evaluate_on

        source = source_of(data)
        found = evaluate_on(self.product, source)
        if self.folder.about().get("data") == source.fingerprint():
            told = f"{source.name} is the very data that this run was trained from: rows that trained it are among these, so the figures flatter"
            found["notes"].insert(0, told)
        return Verdict(found)

    def ask(self, questions: str | Path, shots: int = 0, seed: int = 0) -> Any:
        """How many questions of a JSONL file a language model answers that it was not trained for: by choice, or in its own words.

        questions: a line for each: {"prompt": ..., "choices": [...], "answer": ...}, or without choices. shots: examples before each.
        Raises DataError for a file that is wrong, RunError where the run is no language model.
        """
        from dapeng.evaluate.questions import ask, read_questions

        return ask(self.product, read_questions(Path(questions)), shots, seed)

    def answer(self, data: Any, **options: Any) -> Answer:
        """Predictions as tensors (of pictures: pixels, uint8) and values, with what was left out and why. options: as `predict`."""
        return self.product.predict(rows_for(self.product, data), options=options)

    def predict(self, data: Any, **options: Any) -> pa.Table:
        """A table of predictions: the label or number, and the probability of each label; one row for each row of the data.

        Of the files of a folder a column `file` says which is which; one picture, sound or video is one row, where the run reads no more.
        data: a path, a data frame, a list of mappings. options: of drawn pictures (PNG bytes) the seed, and of those that are drawn in
        steps also steps and guidance; of written texts beams and length_penalty, or the settings of `write`, and then tokens are
        drawn. Of a language model data has texts to go on with, in a column of its output's name.
        A row that can't be read has empty predictions and a warning.
        Raises DataError if a column is missing, RunError for an option that this run doesn't have.
        """
        from dapeng.product.writing import asked, continued

        source = rows_for(self.product, data)
        paths = paths_of(source)
        if self.product.goes_on:
            return continued(self.product, source, options, self.engine())
        parts, options = [], asked(self.product, options)
        for block, answer in self.product.stream(source, options=options):
            parts.append(with_files(table_of(self.product, answer, len(block)), block.columns, paths))
            for row, column, reason in answer.left_out[:5]:
                warn(f"{source.where(block.start + row)}: {column}: {reason}; no prediction")
            for note in answer.notes:
                warn(f"{note.where}: {note.what}")
        if not parts:
            raise DataError(f"{source.name} has no rows")
        return pa.concat_tables(parts)

    def fill(self, data: Any, pictures: Any, keep: Any, **options: Any) -> np.ndarray:
        """Pictures of which a part is known, the rest drawn to go with it and with what the rows ask for (inpainting).

        data: rows, as `predict`. pictures: (N, C, Y, X) uint8. keep: (N, Y, X), true where a pixel stays. options: seed, steps, guidance.
        Returns (N, C, Y, X) uint8. Raises RunError where this run draws no pictures in steps.
        """
        from dapeng.product.filling import fill

        return fill(self.product, source_of(data), np.asarray(pictures), np.asarray(keep), options)

    def write(
        self,
        prompt: str | list[Any] = "",
        logprobs: bool = False,
        engine: str = "auto",
        weights: str = "auto",
        **settings: Any,
    ) -> Any:
        """What a language model goes on with: the text that follows each prompt.

        prompt: a text, or of a model of conversations its turns ({role, content}); or a list of such.
        settings: max_tokens, temperature (0 takes the likeliest token), top_k, top_p, min_p, repetition_penalty, seed, stop;
        regex, an expression of `re` that the whole text matches; schema, a JSON schema (a mapping, or a file) that it is valid by.
        engine, weights: what works them out (`dapeng help engines`), and with what kind of numbers: fp32, bf16, int8, int4.
        logprobs: each text as text, tokens (what each reads, and its log-probability) and end ("stop", or "length" if it was cut).
        Raises RunError for settings that are wrong, and where no text that this run can write fits.
        """
        from dapeng.product.writing import settings_of, whole

        one = isinstance(prompt, str) or bool(prompt and isinstance(prompt[0], dict))
        found = whole(self.product, [prompt] if one else prompt, settings_of(**settings), self.engine(engine, weights))
        texts = found if logprobs else [w.text for w in found]
        return texts[0] if one else texts

    def engine(self, engine: str = "auto", weights: str = "auto") -> Any:
        """What works the texts of a language model out, made ready once. Raises RunError as `write`."""
        from dapeng.engines.choose import choose

        if (engine, weights) not in self._engines:
            self._engines[engine, weights] = choose(self.product, self.folder, engine, weights)
        return self._engines[engine, weights]

    def explain(self, data: Any = None, rows: int = 8) -> Any:
        """What the model looked at: importance of columns, and for some rows what counted."""
        from dapeng.explain.explain import explain

        found = explain(self.folder, self.product, None if data is None else source_of(data), rows)
        _report(self.folder)
        return found

    def export(self, format: str = "onnx", to: str | Path | None = None) -> dict[str, Any]:
        """Write the model in another format, and check that it predicts the same."""
        from dapeng.export.export import export

        found = export(self.folder, self.product, format, to)
        _report(self.folder)
        return found

    def compress(self, to: str = "int8", folder: str | Path | None = None) -> Any:
        """A smaller model in a run folder of its own, with size, latency and every metric before and after."""
        from dapeng.compress.compress import compress

        found = compress(self.folder, self.product, to, folder)
        _report(RunFolder.open(found.facts["folder"]))
        return found

    def serve(self, host: str = "127.0.0.1", port: int = 8000, **options: Any) -> None:
        """Answer over HTTP until stopped."""
        from dapeng.serve.serve import serve

        serve([self.folder], host=host, port=port, **options)


def _report(folder: RunFolder) -> None:
    """The report anew, with what a verb has left in the run folder."""
    from dapeng.report.write import write_report

    write_report(folder)


def table_of(product: Product, answer: Answer, rows: int) -> pa.Table:
    """Predictions as columns: NAME, and what its column says beside it: NAME.LABEL with the probability of each label.

    What a list's parts are joined by where it must be one text is said beside the column ("joint").
    """
    columns: dict[str, pa.Array] = {}
    joints: dict[str, str] = {}
    for name, column in product.outputs.items():
        values: list[Any] = [None] * rows
        for row, value in zip(answer.rows, answer.values[name]):
            values[row] = value
        columns[name] = pa.array(values, _arrow_type(column))
        joints[name] = column.joint
        for part, found in column.spread(answer.tensors[name]).items():
            every = np.full(rows, None if found.dtype == object else np.nan)
            every[answer.rows] = found
            columns[f"{name}.{part}"] = pa.array(every, from_pandas=True)
    fields = [pa.field(n, a.type, metadata={"joint": joints[n]} if n in joints else None) for n, a in columns.items()]
    return pa.table(list(columns.values()), schema=pa.schema(fields))


def _arrow_type(column: Any) -> pa.DataType | None:
    """Of lists, which may be empty in every row."""
    box = pa.struct([("label", pa.string()), *((k, pa.float64()) for k in ("score", "x1", "y1", "x2", "y2"))])
    if column.answers == "picture":
        return pa.binary()
    lists = {"labels": pa.string(), "numbers": pa.float64(), "boxes": box}
    return pa.list_(lists[column.answers]) if column.answers in lists else None
