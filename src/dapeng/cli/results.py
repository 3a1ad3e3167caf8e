"""How a verb's result is written to standard output: tables for people, JSON for programs, predictions as a file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from dapeng.core.console import emit, say, table
from dapeng.core.errors import DataError
from dapeng.core.files import json_text
from dapeng.core.run import file_name

ENDINGS = {b"\x89PNG": ".png", b"RIFF": ".wav", b"\x1f\x8b\x08\x00": ".nii.gz"}
"""Of files that outputs are written to."""


def show(result: Any, as_json: bool) -> None:
    """Write a result: what has `text()` says how it reads for people, plain values are laid out here."""
    if as_json:
        emit(json_text(result.plain() if hasattr(result, "plain") else result, indent=1))
    elif hasattr(result, "text"):
        emit(result.text())
    elif result is not None:
        emit(readable(result))


def readable(value: Any) -> str:
    """Plain values as text: a list of mappings as a table, a mapping as `key  value` lines."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        header = list(dict.fromkeys(key for row in value for key in row))
        return table([[row.get(key) for key in header] for row in value], header)
    if isinstance(value, dict):
        flat = list(_flat(value))
        return table(flat)
    return str(value)


def _flat(value: dict[str, Any], prefix: str = ""):
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json_text(inner) if isinstance(inner, list) else inner


def write_table(rows: Any, to: str | None, form: str) -> None:
    """Write predictions (a pyarrow table, a pandas frame, or a list of mappings) to a file, or to standard output."""
    import pyarrow as pa

    frame = rows if isinstance(rows, pa.Table) else _arrow(rows)
    suffix = Path(to).suffix.lower() if to else f".{form}"
    if suffix not in (".csv", ".parquet", ".jsonl"):
        raise DataError(f"can't write a {suffix or 'nameless'} file", hint="--to FILE.csv, FILE.parquet or FILE.jsonl")
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        from dapeng.core.files import atomic_open

        with atomic_open(str(to)) as stream:
            pq.write_table(frame, stream)
        return
    frame = _with_files(frame, Path(to)) if to else frame
    lines = _csv(frame) if suffix == ".csv" else (json_text(_plain(row)) for row in frame.to_pylist())
    if to:
        from dapeng.core.files import write_text

        write_text(to, "".join(f"{line}\n" for line in lines))
    else:
        for line in lines:
            emit(line)
        _say_where_files_go(frame)


def _say_where_files_go(frame: Any) -> None:
    import pyarrow as pa

    made = [f.name for f in frame.schema if pa.types.is_binary(f.type)]
    if made:
        say(f"info: {', '.join(made)}: files, written in base64; --to FILE.csv puts them in a folder beside it")


def _with_files(frame: Any, to: Path) -> Any:
    """The table with pictures and sounds as files in a folder beside it, and their paths, which start from its own folder, in their place."""
    import pyarrow as pa

    from dapeng.core.files import write_bytes

    for at, field in enumerate(frame.schema):
        if not pa.types.is_binary(field.type):
            continue
        folder = to.parent / f"{to.stem}-{file_name(field.name)}"
        folder.mkdir(parents=True, exist_ok=True)
        paths: list[str | None] = []
        for row, cell in enumerate(frame.column(at).to_pylist(), 1):
            if cell is None:
                paths.append(None)
                continue
            name = f"{row:06d}{_ending(cell)}"
            paths.append(f"{folder.name}/{name}")
            write_bytes(folder / name, cell)
        frame = frame.set_column(at, pa.field(field.name, pa.string()), pa.array(paths, pa.string()))
    return frame


def _ending(content: bytes) -> str:
    """How the name of a file with this content ends, by the mark that it begins with."""
    return next((end for mark, end in ENDINGS.items() if content.startswith(mark)), ".bin")


def _arrow(rows: Any) -> Any:
    import pyarrow as pa

    if isinstance(rows, list):
        return pa.Table.from_pylist(rows)
    return pa.Table.from_pandas(rows, preserve_index=False)


def _csv(frame: Any):
    import csv
    import io

    joints = [(f.metadata or {}).get(b"joint", b" ").decode() for f in frame.schema]
    for row in (frame.column_names, *([r[c] for c in frame.column_names] for r in frame.to_pylist())):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([_harmless(_joined(v, j)) for v, j in zip(row, joints)])
        yield line.getvalue()


def _joined(value: Any, joint: str) -> Any:
    """A list as one text, as the column that was learnt writes it; of boxes and the like in JSON."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list) and (not value or isinstance(value[0], dict)):
        return json_text(value) if value or joint == JSON else ""
    return joint.join(map(str, value)) if isinstance(value, list) else value


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON has it: bytes in base64."""
    return {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in row.items()}


JSON = "json"
"""What joins parts that are no plain values (`Column.joint`)."""


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
