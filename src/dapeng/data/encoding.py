"""Text files of any encoding as one stream of valid UTF-8, in bounded memory.

The encoding is told by the byte-order mark, else by the first bytes that aren't ASCII: as long as a file is ASCII there
is nothing to decide, so a decision never needs a pass of its own over a large file.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from dapeng.core.errors import DataError, Problem
from dapeng.core.spec import Data
from dapeng.data.files import CHUNK, open_bytes

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SHOWN = {
    "utf-16": "UTF-16",
    "utf-32": "UTF-32",
    "gb18030": "GB18030 (Chinese)",
    "cp1252": "Windows-1252 (Western European)",
}

Say = Callable[[str, str, str, int], None]
"""Takes a note: kind, where, what, count."""


def marked(head: bytes) -> str | None:
    """The encoding that the first bytes give away: by a mark, or by the zero bytes of unmarked UTF-16."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[:2000]
    zeros = (sample[0::2].count(0), sample[1::2].count(0))
    if len(sample) >= 4 and max(zeros) > 0.4 * len(sample) / 2 and min(zeros) <= 0.1 * max(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return None


def guessed(sample: bytes) -> str:
    """utf-8, gb18030, cp1252, or utf-8 again where nothing fits (whose error then names the line).

    Line by line, since a file of UTF-8 with one damaged line is UTF-8, and its damage must not turn all of it into mojibake.
    """
    valid = invalid = 0
    for line in sample.splitlines():
        if not line.isascii():
            high = len(line) - len(line.decode("ascii", "ignore"))
            valid, invalid = (valid + high, invalid) if _decodes(line, "utf-8") else (valid, invalid + high)
    if valid >= invalid:
        return "utf-8"
    whole = sample[: sample.rfind(b"\n") + 1] or sample
    if _looks_chinese(whole):
        return "gb18030"
    return "cp1252" if _decodes(whole, "cp1252") else "utf-8"


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(raw: bytes) -> bool:
    """True if it is valid GB18030 whose characters are mostly two high bytes, or four bytes.

    Western text read as GB18030 pairs an accented letter with the ASCII letter after it: two bytes, the second one low.
    """
    if not _decodes(raw, "gb18030"):
        return False
    other = [c.encode("gb18030") for c in raw.decode("gb18030") if ord(c) > 127]
    return sum(len(c) == 4 or c[-1] >= 0x80 for c in other) > 0.5 * len(other)


def utf8_chunks(path: Path, data: Data, say: Say) -> Iterator[bytes]:
    """The file as pieces of valid UTF-8 without byte-order mark and NUL; says what was found and mended.

    Raises DataError with the line of the first byte that isn't valid, unless `data.encoding_errors` is "replace".
    """
    zeros = 0
    for chunk in _decoded(path, data, say):
        if b"\0" in chunk:
            zeros += chunk.count(b"\0")
            chunk = chunk.replace(b"\0", b"")
        yield chunk
    if zeros:
        say("repair", path.name, f"{zeros} NUL byte{'s were' if zeros > 1 else ' was'} left out of the text", zeros)


def _decoded(path: Path, data: Data, say: Say) -> Iterator[bytes]:
    encoding = _known(data, path)
    first = True
    decode: _Decoder | None = None
    consumed = 0
    with open_bytes(path, data.limits) as file:
        while chunk := file.read(CHUNK):
            if first:
                encoding = encoding or marked(chunk)
                first = False
                if encoding in (None, "utf-8") and chunk.startswith(codecs.BOM_UTF8):
                    chunk, consumed = chunk[3:], 3
            if decode is None and encoding in (None, "utf-8") and chunk.isascii():
                consumed += len(chunk)
                yield chunk
                continue
            if decode is None:
                encoding = encoding or guessed(chunk)
                _tell(encoding, path, data, say)
                decode = _Decoder(path, data, encoding, consumed)
            yield decode(chunk)
    if decode is not None:
        yield decode(b"", final=True)
        if decode.replaced:
            say(
                "repair",
                path.name,
                f"{decode.replaced} bytes that aren't valid {decode.encoding} were replaced by U+FFFD",
                decode.replaced,
            )


def _known(data: Data, path: Path) -> str | None:
    if data.encoding is None:
        return None
    try:
        name = codecs.lookup(data.encoding).name
    except LookupError:
        what = f"unknown encoding {data.encoding!r}"
        raise DataError(
            Problem(path.name, what, "one of utf-8, gb18030, big5, shift_jis, euc-kr, cp1252, latin-1, utf-16")
        ) from None
    if not getattr(codecs.lookup(name), "_is_text_encoding", True):
        raise DataError(
            Problem(path.name, f"{data.encoding!r} is not an encoding of text", "write utf-8, gb18030, cp1252, ...")
        )
    return "utf-8" if name == "utf-8-sig" else name


def _tell(encoding: str, path: Path, data: Data, say: Say) -> None:
    if encoding == "utf-8" or data.encoding is not None:
        return
    shown = SHOWN.get(encoding, encoding.upper())
    text = f"read as {shown}: it isn't UTF-8. Set data.encoding if that is wrong"
    say("warning" if encoding == "cp1252" else "repair", path.name, text, 1)


class _Decoder:
    """Incremental decoding whose errors name the line. Valid UTF-8 passes through without being built anew."""

    def __init__(self, path: Path, data: Data, encoding: str, consumed: int):
        self.path, self.data, self.encoding = path, data, encoding
        self.consumed, self.replaced = consumed, 0
        self.replace = data.encoding_errors == "replace"
        self.plain = encoding == "utf-8" and not self.replace
        self.carry = b""
        self.incremental = codecs.getincrementaldecoder(encoding)("replace" if self.replace else "strict")

    def __call__(self, chunk: bytes, final: bool = False) -> bytes:
        if self.plain:
            return self._checked(chunk, final)
        try:
            text = self.incremental.decode(chunk, final)
        except UnicodeDecodeError as error:
            pending = len(error.object) - len(chunk)  # bytes of a character that began in the chunk before
            raise self._invalid(error, self.consumed - pending + error.start) from None
        self.consumed += len(chunk)
        if self.replace:
            self.replaced += text.count("\ufffd")
        return text.encode("utf-8", "replace")

    def _checked(self, chunk: bytes, final: bool) -> bytes:
        whole = self.carry + chunk if self.carry else chunk
        start = self.consumed - len(self.carry)
        cut = len(whole)
        try:
            whole.decode("utf-8")
        except UnicodeDecodeError as error:
            if final or len(whole) - error.start > 3 or "end of data" not in error.reason:
                raise self._invalid(error, start + error.start) from None
            cut = error.start
        self.carry = whole[cut:]
        self.consumed += len(chunk)
        return whole[:cut]

    def _invalid(self, error: UnicodeDecodeError, offset: int) -> DataError:
        line = 1 + _newlines(self.path, self.data, offset, self.encoding)
        byte = error.object[error.start]
        hint = "mend the line, set data.encoding (gb18030, cp1252, ...), or data.encoding_errors=replace"
        return DataError(
            Problem(f"{self.path.name}:{line}", f"byte 0x{byte:02x} is not valid {self.encoding.upper()}", hint)
        )


def _newlines(path: Path, data: Data, offset: int, encoding: str) -> int:
    """Line ends in the first `offset` bytes; read anew, since counting on the way would cost every good file."""
    count, step = 0, CHUNK
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    with open_bytes(path, data.limits) as file:
        while offset > 0 and (chunk := file.read(min(step, offset))):
            count += decoder.decode(chunk).count("\n")
            offset -= len(chunk)
    return count


class Utf8Stream(io.RawIOBase):
    """`utf8_chunks` as a file; `tail` is appended at the end."""

    def __init__(self, pieces: Iterator[bytes], tail: bytes = b""):
        self.pieces, self.tail = pieces, tail
        self.buffer = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self.buffer:
            piece = next(self.pieces, None)
            if piece is None:
                piece, self.tail = self.tail, b""
                if not piece:
                    return 0
            self.buffer = memoryview(piece)
        count = min(len(buffer), len(self.buffer))
        buffer[:count] = self.buffer[:count]
        self.buffer = self.buffer[count:]
        return count

    def close(self) -> None:
        close = getattr(self.pieces, "close", None)
        if close is not None and not self.closed:
            close()
        super().close()
