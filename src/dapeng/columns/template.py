"""Conversations as texts by a Jinja template, as public models bring one, rendered as transformers' `apply_chat_template` does.

A template is a stranger's: it runs in jinja2's immutable sandbox, over plain values. What it can still do is take long.
Special tokens that a user's words look like are put between two characters that no text has, so that what the template writes
and what a user writes can be told apart afterwards; `{% generation %}` blocks are put between two others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from dapeng.core.errors import Problem, SpecError
from dapeng.tokens.base import any_of, whole

TURN, END = "<|im_start|>", "<|im_end|>"
"""Begin and end of a turn in ChatML."""
ANSWERS = "assistant"
"""The role whose turns are learnt."""
CHATML = (
    "{%- for message in messages %}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "{{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n"
)
FIRST = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""How conversations of runs were written before templates could be chosen."""
OWN = {"bos_token": "<bos>", "eos_token": "<eos>"}
"""Special tokens of a tokeniser that is fitted."""
PLAIN, PLAIN_END, BLOCK, BLOCK_END = "\ufdd0\ufdd1\ufdd2\ufdd3"
"""Noncharacters of Unicode: around what looks special and is a user's; around what is to be learnt. No user's text keeps them."""
LOOKS_SPECIAL = re.compile(r"<\|[^<>|\s]+\|>|<｜[^<>｜\s]+｜>|</?[A-Za-z]\w*>|\[/?[A-Z][A-Z_]+\]|<</?[A-Z]+>>")
"""What a template writes as a token of its own, where the tokeniser is made for it."""
NAMELESS = re.compile(r"<[|｜][^<>|｜\s]+[|｜]>")
"""What is written to be nothing but a token."""


class Turn(NamedTuple):
    """What one says."""

    role: str
    said: str


@dataclass(frozen=True)
class Template:
    """text: of the template. tokens: what it knows special tokens as (bos_token, eos_token, ...)."""

    text: str
    tokens: Mapping[str, str] = field(default_factory=dict)

    def render(self, turns: Sequence[Turn], ask: bool = False, special: Iterable[str] = ()) -> str:
        """The text of a conversation; ask: up to where an answer begins. special: what a user's words must not become.

        Raises ValueError where the template refuses the turns, or fails.
        """
        plain = hiding(tuple(special))
        messages = [{"role": plain(t.role), "content": plain(t.said)} for t in turns]
        given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": ask}
        try:
            return compiled(self.text).render(**given, **self.tokens)
        except Exception as error:  # a stranger's expressions may raise whatever Python's operators do
            raise ValueError(f"the template can't write these turns: {str(error)[:120]}") from None

    @property
    def blocks(self) -> bool:
        """Whether it says itself what is learnt."""
        return re.search(r"\{%-?\s*generation\s*-?%\}", self.text) is not None

    def checked(self) -> Template:
        """Itself. Raises SpecError where it is no template, or can't write a question and its answer."""
        from jinja2.exceptions import TemplateError

        try:
            compiled(self.text)
        except TemplateError as error:
            what = f"line {getattr(error, 'lineno', None) or 1} of the template: {str(error)[:120]}"
            raise SpecError(Problem("chat", what, "chat: chatml, or mend the template")) from None
        try:
            self.render(PROBES[0])
        except ValueError as error:
            raise SpecError(Problem("chat", str(error), "chat: chatml, or mend the template")) from None
        return self

    def own(self) -> str:
        """What it writes itself, over conversations of every kind, without what is said in them."""
        found = []
        for turns in PROBES:
            for ask in (False, True):
                try:
                    text = self.render(turns[: len(turns) - ask], ask)
                except ValueError:  # a template may refuse a system's turn, or two questions
                    continue
                found.append(re.sub("|".join(SAID), "\n", text))
        return "\n".join(found)

    def marks(self) -> list[str]:
        """Tokens of their own that it writes, in the order of their letters."""
        return sorted(set(LOOKS_SPECIAL.findall(self.own())))

    def closing(self) -> str:
        """What it writes behind an answer that is the last turn."""
        return self.render(PROBES[0]).rpartition(SAID[1])[2]


SAID = ("qzxasked", "qzxsaid", "qzxruled")
PROBES = (
    [Turn("user", SAID[0]), Turn(ANSWERS, SAID[1])],
    [Turn("system", SAID[2]), *[Turn("user", SAID[0]), Turn(ANSWERS, SAID[1])] * 2],
)


def named(chat: bool | str) -> str:
    """The text of the template that an option names once it is settled."""
    return CHATML if chat in (True, "chatml") else str(chat)


def template_in(name: str, base: Path | None) -> str:
    """The template of a file, whose name starts from `base`. Raises SpecError where there is none."""
    hint = "chat: chatml, or a file with a Jinja template: chat: PATH.jinja"
    path = Path(name).expanduser()
    path = base / path if base is not None and (base / path).is_file() else path
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SpecError(Problem("chat", f"{name}: {error.strerror or error}", hint)) from None
    except UnicodeDecodeError:
        raise SpecError(Problem("chat", f"{name} is not UTF-8", hint)) from None


def is_text(chat: bool | str) -> bool:
    """Whether it is a template itself, and no name of one."""
    return isinstance(chat, str) and ("{%" in chat or "{{" in chat)


@lru_cache(64)
def hiding(special: tuple[str, ...]) -> Callable[[str], str]:
    """A function of a user's text: what looks special stands between `PLAIN` and `PLAIN_END` afterwards."""
    find = any_of(special)
    gone = str.maketrans(dict.fromkeys(PLAIN + PLAIN_END + BLOCK + BLOCK_END))
    return lambda text: find.sub(f"{PLAIN}\\g<0>{PLAIN_END}", whole(text).translate(gone))


@lru_cache(64)
def compiled(text: str) -> Any:
    """The template in its sandbox. Raises jinja2.exceptions.TemplateError where it is none."""
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """{% generation %} ... {% endgeneration %}: what is learnt, between two characters."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("marked"), [], [], body).set_lineno(line)

        def marked(self, caller: Any) -> str:
            return BLOCK + caller() + BLOCK_END

    class Room(Namespace):
        """Values that a template keeps beyond a loop; none with a name that Python could mean something by."""

        def __init__(*args: Any, **kwargs: Any):
            self, rest = args[0], dict(*args[1:], **kwargs)
            for name in rest:
                Room.allow(name)
            Namespace.__init__(self, rest)  # type: ignore[arg-type]

        def __setitem__(self, name: str, value: Any) -> None:
            Room.allow(name)
            Namespace.__setitem__(self, name, value)

        @staticmethod
        def allow(name: Any) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise SecurityError(f"a template can't keep a value as {name!r}")

    class Mapped:
        """`dict` without the attributes of a type."""

        def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict(*args, **kwargs)

        def fromkeys(self, *args: Any) -> dict[Any, Any]:
            return dict.fromkeys(*args)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def as_json(
        x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    world = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    world.filters["tojson"] = as_json
    world.globals |= {
        "raise_exception": refuse,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": Mapped(),
        "namespace": Room,
    }
    return world.from_string(text)
