"""How a text is read outside of Dapeng: a class of its own, which exports carry along."""

from __future__ import annotations


class TextReader:
    """Raw texts to padded ids, with numpy and the standard library (and `tokenizers`, or `sentencepiece`, by the tokeniser)."""

    def __init__(self, kind, vocab, tokenizer, codec, end, lowest, highest, max_length, lowercase, form, cjk):
        import re

        self.kind, self.lowest, self.highest, self.limit = kind, lowest, highest, max_length
        self.lowercase, self.form = lowercase, form
        self.ids = {t: i for i, t in enumerate(vocab or [])}
        self.word = re.compile(rf"[{cjk}]|[^\W{cjk}]+(?:['’][^\W{cjk}]+)?|[^\w\s]")
        self.end = list(end or [])
        if kind == "pieces":
            import base64

            from sentencepiece import SentencePieceProcessor

            self.sentences = SentencePieceProcessor(model_proto=base64.b64decode(codec["model"]))
            self.names = {n: i for i, n in enumerate(codec.get("names") or [])}
            self.unknown = codec.get("unknown")
        if kind in ("bpe", "file"):
            from tokenizers import Tokenizer

            self.library = Tokenizer.from_str(tokenizer)
            self.library.no_padding()
            self.library.no_truncation()
            self.library.encode_special_tokens = True
            if kind == "file":
                self.library.enable_truncation(max_length)

    def row(self, text):
        import unicodedata

        text = text.encode("utf-8", "replace").decode("utf-8")
        text = text if self.form == "none" else unicodedata.normalize(self.form, text)
        text = " ".join((text.lower() if self.lowercase else text).split())
        if self.kind in ("bpe", "file"):
            return self._read(text)
        if self.kind == "pieces":
            code = text[: text.index("<<") + 2] if text.startswith(">>") and "<<" in text else ""
            code = [code] if code in self.names else []
            pieces = self.sentences.encode(text[len("".join(code)) :], out_type=str if self.names else int)
            ids = [self.names.get(p, self.unknown) for p in [*code, *pieces]] if self.names else pieces
            return [*ids[: max(self.limit - len(self.end), 0)], *self.end]
        if self.kind == "characters":
            return [self.ids.get(c, 1) for c in text]
        words = self.word.findall(text)
        if self.kind == "words":
            return [self.ids.get(w, 1) for w in words]
        grams = list(words) if self.lowest == 1 else []
        for n in range(max(self.lowest, 2), self.highest + 1):
            grams.extend(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        return [self.ids[g] for g in grams if g in self.ids] or [1]

    def _read(self, text):
        """With special tokens in a text as text: letters that would lead to one are broken by a blank."""
        own = self.kind == "file"
        found = self.library.encode(text, add_special_tokens=own)
        added = {i: t.content for i, t in self.library.get_added_tokens_decoder().items() if t.special}
        names = [n for n in added.values() if len(n) > 1 and n in text]
        if names and any(i in added and not m for i, m in zip(found.ids, found.special_tokens_mask)):
            for name in names:
                text = text.replace(name, f"{name[0]} {name[1:]}")
            found = self.library.encode(text, add_special_tokens=own)
        return found.ids

    def encode(self, cells):
        import numpy as np

        texts = ["" if c is None else str(c) for c in cells]
        rows = [self.row(t)[: self.limit] for t in texts]
        longest = max(1, max(map(len, rows), default=1))
        ids = np.zeros((len(rows), longest), np.int32)
        mask = np.zeros((len(rows), longest), bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, True
        return {"ids": ids, "mask": mask, "present": np.array([bool(t.strip()) for t in texts])}
