"""Let a text model write: a language model goes on with a text, others answer each line.

dapeng chat runs/story-0001 --prompt "Once upon"
dapeng chat runs/story-0001 --prompt "Born on " --regex "[0-9]{1,2} (May|June) [0-9]{4}"
dapeng chat runs/de-en-0001
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from dapeng.cli import arguments
from dapeng.core.console import coloured, emit, say
from dapeng.core.errors import RunError


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="the text to go on with; lines of standard input if not given")
    arguments.writing(parser)
    parser.add_argument("--engine", metavar="NAME", default="auto", help="`dapeng help engines` lists them (auto)")
    parser.add_argument("--weights", metavar="KIND", default="auto", help="fp32, bf16, int8 or int4 (auto)")


def run(args: Namespace) -> int:
    from dapeng import api
    from dapeng.columns.template import ANSWERS

    found = api.load(args.run)
    settings = arguments.settings(args)
    engine = _engine(found, args)
    if args.prompt is not None:
        _answer(found, args.prompt, settings, engine)
        return 0
    turns = _talks(found)
    if sys.stdin.isatty():
        say("a line is answered at once; Ctrl-D ends" + ("; /new begins anew" if turns is not None else ""))
    for line in sys.stdin:
        text = line.rstrip("\n")
        if turns is not None and text.strip() == "/new":
            turns.clear()
            continue
        try:
            if turns is None:
                _answer(found, text, settings, engine)
            else:
                asked = {"role": "user", "content": text}
                said = _answer(found, [*turns, asked], settings, engine)
                turns += [asked, {"role": ANSWERS, "content": said}]
        except RunError as error:  # one line is wrong; the next may be right
            say(coloured("error: ", "red") + str(error))
    return 0


def _talks(found: Any) -> list[dict[str, str]] | None:
    """The turns so far, where a run was trained on conversations: none yet."""
    product = found.product
    column: Any = product.outputs[product.written[0]] if product.written else None
    return [] if getattr(column, "chat", False) else None


def _engine(found: Any, args: Namespace) -> Any:
    """What writes, said where it was chosen; None where a run answers as it was trained to."""
    if found.product.inputs:
        named = next((n for n in ("engine", "weights") if getattr(args, n) != "auto"), None)
        if named is None:
            return None
        what = f"--{named} is for language models; this run answers {', '.join(found.product.inputs)}"
        raise RunError(what, hint=f"leave --{named} out")
    engine = found.engine(args.engine, args.weights)
    if args.engine == "auto" and sys.stdin.isatty():
        say(f"{engine.name}, {engine.weights} weights: {engine.why}")
    return engine


def _answer(found: Any, prompt: Any, settings: dict[str, Any], engine: Any = None) -> str:
    """Write to standard output what follows a prompt, as it comes, or what a model with one text as input answers; and give it."""
    from dapeng.product.writing import settings_of, written

    product = found.product
    texts = [n for n, c in product.inputs.items() if c.type == "text"]
    if product.written and len(product.inputs) == len(texts) == 1:
        said = found.predict([{texts[0]: prompt}], **settings)[product.written[0]][0].as_py()
        emit(said)
        return said
    said = ""
    for piece in written(product, [prompt], settings_of(**settings), engine):
        said += piece.text
        emit(piece.text, end="")
    emit("")
    return said
