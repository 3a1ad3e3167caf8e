"""A language model in a public folder: its stack as config.json says it, its tensors by our names, its tokeniser."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from dapeng.core.errors import Problem, SpecError
from dapeng.nn.causal import Shape
from dapeng.public.families import Family, family_of
from dapeng.public.folders import PublicFolder


def shape_in(folder: PublicFolder, family: Family) -> tuple[Shape, bool]:
    """The stack, and whether its head is the table. Raises SpecError for another kind of model, or one that isn't supported."""
    config = folder.json("config.json")
    kind = config.get("model_type")
    if kind not in family.KINDS:
        other = (
            "decoder.type of its family, or another folder" if family_of(str(kind)) is not None else "another folder"
        )
        what = (
            f"{folder.name} holds {kind or 'no config.json with a model_type'}, where {', '.join(family.KINDS)} is read"
        )
        raise SpecError(Problem("weights", what, f"name {other}"))
    try:
        shape = family.shape_of(config)
    except ValueError as error:
        raise SpecError(Problem("weights", f"{folder.name} is not supported: {error}", "name another folder")) from None
    except (KeyError, TypeError, ZeroDivisionError) as error:
        what = f"{folder.name}/config.json says no usable {error}"
        raise SpecError(Problem("weights", what, "save the model anew")) from None
    return shape, bool(config.get("tie_word_embeddings", kind == "gpt2"))


def tensors_in(folder: PublicFolder, family: Family, shape: Shape, tied: bool) -> dict[str, Tensor]:
    """By the names of `Causal`, with `table`, and `head` where it isn't the table. Raises SpecError where one is missing."""
    try:
        found = family.ours(folder.state(), shape)
    except KeyError as error:
        what = f"the weights in {folder.name} lack {error.args[0]}"
        raise SpecError(Problem("weights", what, "name a folder with all weights of the model")) from None
    if tied:
        found.pop("head", None)
    return found


def codec_in(folder: PublicFolder) -> dict[str, Any]:
    """The state of the tokeniser that came with the weights. Raises SpecError where there is none, or none that fits them."""
    text = folder.text("tokenizer.json")
    if text is None:
        what = f"{folder.name} has no tokenizer.json"
        raise SpecError(Problem("weights", what, "save the model's fast tokeniser beside its weights"))
    from tokenizers import Tokenizer

    try:
        library = Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        what = f"{folder.name}/tokenizer.json is no tokeniser: {str(error)[:80]}"
        raise SpecError(Problem("weights", what, "save the model's fast tokeniser anew")) from None
    config = folder.json("config.json")
    size = int(config.get("vocab_size") or 0)
    largest = max(library.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= size:
        what = f"{folder.name}/tokenizer.json has a token {largest:,}, but the table of the model {size:,} rows"
        raise SpecError(Problem("weights", what, "name a folder whose tokeniser belongs to its weights"))
    eos = _special(folder, library, "eos")
    if eos is None:
        what = f"{folder.name} doesn't say which token ends a text"
        raise SpecError(Problem("weights", what, "write eos_token_id into its config.json"))
    bos, pad = (_special(folder, library, name) for name in ("bos", "pad"))
    begin = eos if bos is None else bos  # of those that have no begin, a text stands behind the end of another
    positions = config.get("n_positions")
    kept = json.dumps(json.loads(text), ensure_ascii=False)
    return {
        "kind": "file", "tokenizer": kept, "size": size, "bos": begin, "eos": eos, "pad": eos if pad is None else pad,
        "longest": None if positions is None else int(positions) - 1, "marks": [],
    }  # fmt: skip


ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


def conversation_in(folder: PublicFolder) -> dict[str, Any]:
    """The template that came with the weights ("text"; None where there is none), and special tokens by role ("tokens")."""
    config = folder.json("tokenizer_config.json")
    text = folder.text("chat_template.jinja")
    known = config.get("chat_template")
    if isinstance(known, list):  # several by name
        known = {t.get("name"): t.get("template") for t in known if isinstance(t, dict)}.get("default")
    named = {**folder.json("special_tokens_map.json"), **config}
    tokens = {r: named[r]["content"] if isinstance(named[r], dict) else named[r] for r in ROLES if named.get(r)}
    return {"text": text or (known if isinstance(known, str) else None), "tokens": tokens}


def _special(folder: PublicFolder, library: Any, name: str) -> int | None:
    """The id of bos, eos or pad, as the files say it, the first of several."""
    for file in ("config.json", "generation_config.json"):
        found = folder.json(file).get(f"{name}_token_id")
        found = found[0] if isinstance(found, list) and found else found
        if isinstance(found, int):
            return found
    named = folder.json("tokenizer_config.json").get(f"{name}_token")
    named = named.get("content") if isinstance(named, dict) else named
    return library.token_to_id(named) if isinstance(named, str) else None
