"""A translator in a public folder: its encoder and decoder as config.json says them, and its two tokenisers."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

from dapeng.core.errors import Problem, SpecError
from dapeng.public.families import marian
from dapeng.public.folders import PublicFolder

Side = Literal["source", "target"]
"""What is read, and what is written."""


def config_in(folder: PublicFolder) -> dict[str, Any]:
    """Its config.json. Raises SpecError for another kind of model, or one that isn't supported."""
    config = folder.json("config.json")
    kind = config.get("model_type")
    if kind not in marian.KINDS:
        what = (
            f"{folder.name} holds {kind or 'no config.json with a model_type'}, where {', '.join(marian.KINDS)} is read"
        )
        raise SpecError(Problem("weights", what, "name another folder"))
    try:
        marian.encoder_of(config)
        marian.shape_of(config)
        if not config.get("tie_word_embeddings", True):
            raise ValueError("a head that is not the table of tokens")
    except ValueError as error:
        raise SpecError(Problem("weights", f"{folder.name} is not supported: {error}", "name another folder")) from None
    except (KeyError, TypeError, ZeroDivisionError) as error:
        what = f"{folder.name}/config.json says no usable {error}"
        raise SpecError(Problem("weights", what, "save the model anew")) from None
    return config


def codec_in(folder: PublicFolder, side: Side) -> dict[str, Any]:
    """The state of the tokeniser of a side, with its kind. Raises SpecError where there is none, or none that fits the weights."""
    config = config_in(folder)
    own = folder.text(f"{side}/tokenizer.json")
    if own is not None:
        return _library(own, config, side, marian.shared(config))
    model, text = folder.content(f"{side}.spm"), folder.text("vocab.json")
    if side == "target" and folder.text("target_vocab.json") is not None:
        text = folder.text("target_vocab.json")
    if model is None or text is None:
        what = f"{folder.name} has no {side}.spm with a vocab.json"
        raise SpecError(Problem("weights", what, "save the model's tokeniser beside its weights"))
    names = _names(folder, text)
    size = _rows(config, side)
    if len(names) > size:
        what = f"{folder.name}/vocab.json has a token {len(names) - 1:,}, but the table of the model {size:,} rows"
        raise SpecError(Problem("weights", what, "name a folder whose tokeniser belongs to its weights"))
    ids = _framing(folder, config, names)
    state = {
        "kind": "mapped", "model": base64.b64encode(model).decode("ascii"), "names": names, "size": size, **ids,
        "longest": int(config.get("max_position_embeddings", 512)) - 1, "shared": marian.shared(config), "marks": [],
    }  # fmt: skip
    _refuse_unreadable(folder, state, side)
    return state


def _rows(config: dict[str, Any], side: Side) -> int:
    whole = int(config["vocab_size"])
    return whole if side == "source" or marian.shared(config) else int(config.get("decoder_vocab_size") or whole)


def _names(folder: PublicFolder, text: str) -> list[str]:
    """Pieces by id. Raises SpecError where they are no whole numbers from 0 on."""
    try:
        ids = json.loads(text)
        names = dict(sorted((int(i), str(n)) for n, i in ids.items()))
    except (ValueError, TypeError, AttributeError):
        names = {}
    if not names or next(iter(names)) < 0:
        what = f"{folder.name}/vocab.json doesn't say which piece has which id"
        raise SpecError(Problem("weights", what, "save the model's tokeniser anew"))
    return [names.get(i, "") for i in range(max(names) + 1)]


def _framing(folder: PublicFolder, config: dict[str, Any], names: list[str]) -> dict[str, int]:
    known = {"pad": config.get("pad_token_id"), "eos": config.get("eos_token_id")}
    begin = config.get("decoder_start_token_id", known["pad"])
    if not all(isinstance(i, int) for i in known.values()) or "<unk>" not in names or begin != known["pad"]:
        what = f"{folder.name} doesn't say which tokens pad and end a text, and are unknown, or begins one otherwise than by padding"
        raise SpecError(Problem("weights", what, "save the model and its tokeniser anew"))
    return {**known, "unknown": names.index("<unk>")}  # type: ignore[dict-item]


def _refuse_unreadable(folder: PublicFolder, state: dict[str, Any], side: Side) -> None:
    from dapeng.tokens.mapped_pieces import MappedPieces

    try:
        MappedPieces(state)
    except RuntimeError as error:
        what = f"{folder.name}/{side}.spm is no model of sentencepiece: {str(error)[:80]}"
        raise SpecError(Problem("weights", what, "save the model's tokeniser anew")) from None


def _library(text: str, config: dict[str, Any], side: Side, shared: bool) -> dict[str, Any]:
    """A tokenizer.json of a side, as `dapeng export` writes it where a run has other tokenisers."""
    ids = {"bos": config["decoder_start_token_id"], "eos": config["eos_token_id"], "pad": config["pad_token_id"]}
    kept = json.dumps(json.loads(text), ensure_ascii=False)
    longest = int(config.get("max_position_embeddings", 512)) - 1
    return {
        "kind": "file", "tokenizer": kept, "size": _rows(config, side), **ids, "longest": longest, "shared": shared, "marks": []
    }  # fmt: skip


def read_with(codec: dict[str, Any]) -> dict[str, Any]:
    """The state of the `Tokeniser` of a text that is read: an end stands behind each."""
    if codec["kind"] == "file":
        frame = [codec[r] for r in ("pad", "bos", "eos")]
        return {"kind": "file", "tokenizer": codec["tokenizer"], "frame": frame, "longest": codec["longest"]}
    return {"kind": "pieces", "codec": codec, "end": [codec["eos"]], "longest": codec["longest"]}
