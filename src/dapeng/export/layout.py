"""A folder in the layout of Hugging Face: what transformers reads without dapeng, and dapeng begins from."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dapeng.core.errors import RunError
from dapeng.core.files import write_json, write_text

TOUGH = (
    "Hello, world! It's 12345 o'clock.",
    "今天天气很好，我们去公园吧。",
    "naïve café — ok? ½ x²",
    "👩‍👩‍👧 😀!",
    "<eos> <bos> <pad> <unk> [CLS] [SEP] </s> <|endoftext|>",
    "  two  blanks\n\n\tand a line ",
)
"""Texts on which every exported tokeniser is tried, beside those of the run."""
MOST_TEXTS = 256
MADE = {"format": "pt", "made_by": "dapeng"}
"""What the head of a weights file says: what transformers asks for, and whose folder it is."""


@dataclass(frozen=True)
class Layout:
    """What the files say. tokenizer: tokenizer.json as values. roles: special tokens by what they are for ("bos_token").

    longest: tokens of a text. generation: generation_config.json, of a model that writes. chat_template: of one that answers;
    its special tokens are read as such out of what it writes, so that they are in any other text too.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    tokenizer: dict[str, Any]
    roles: dict[str, str]
    longest: int
    generation: dict[str, Any] = field(default_factory=dict)
    chat_template: str = ""

    def write(self, folder: Path) -> None:
        """Fill a folder with config.json, model.safetensors, tokenizer.json, tokenizer_config.json and the rest."""
        write_json(folder / "config.json", {**self.config, "dtype": "float32"})
        write_json(folder / "tokenizer.json", self.tokenizer)
        write_json(folder / "tokenizer_config.json", self.tokenizer_config())
        if self.generation:
            write_json(folder / "generation_config.json", self.generation)
        if self.chat_template:
            write_text(folder / "chat_template.jinja", self.chat_template)
        held = {n: t.detach().cpu().float().clone().contiguous() for n, t in self.tensors.items()}
        save_file(held, folder / "model.safetensors", MADE)

    def tokenizer_config(self) -> dict[str, Any]:
        side = "left" if self.generation else "right"  # what is written follows the prompt at once
        return {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": self.longest, "padding_side": side,
            "split_special_tokens": not self.chat_template, "clean_up_tokenization_spaces": False, **self.roles,
        }  # fmt: skip


def made_here(weights: Path) -> bool:
    """Whether a file is of the weights of an earlier export."""
    try:
        with safe_open(weights, "pt") as file:
            return (file.metadata() or {}).get("made_by") == MADE["made_by"]
    except (OSError, SafetensorError):
        return False


def refuse_other_tokens(folder: Path, texts: Sequence[str], ours: Callable[[str], list[int]]) -> int:
    """How many texts were compared. Raises RunError for one of which the folder's tokenizer.json makes other tokens."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.encode_special_tokens = True
    for text in texts:
        wanted, found = ours(text), library.encode(text).ids
        if wanted != found:
            at = next((i for i, (a, b) in enumerate(zip(wanted, found)) if a != b), min(len(wanted), len(found)))
            what = f"tokenizer.json reads {text[:60]!r} otherwise than the run, from token {at} on; nothing was kept"
            raise RunError(what, hint="--format standalone, or train with tokeniser=bpe")
    return len(texts)


def refuse_other_chats(folder: Path, talk: Any, chats: Sequence[Any]) -> int:
    """How many conversations were compared. Raises RunError for one that the folder's tokeniser reads otherwise than the run.

    talk: the run's `dapeng.columns.chat.Talk`. Conversations that hold special tokens as text are left out.
    """
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    compared = 0
    for turns in chats:
        try:
            text, wanted = talk.text(turns), talk.ids(turns)[0].tolist()
        except ValueError:  # the template refuses it: it was not learnt either
            continue
        if any(s in t.said for t in turns for s in talk.special):
            continue
        compared += 1
        if library.encode(text, add_special_tokens=False).ids != wanted:
            what = f"tokenizer.json reads the conversation {text[:60]!r} otherwise than the run; nothing was kept"
            raise RunError(what, hint="train with tokeniser=bpe, or serve the run itself")
    return compared


def opened(folder: Path, auto: str, **options: Any) -> Any:
    """The folder's model as a class of transformers (AutoModelForCausalLM, ...) opens it; None where that isn't installed."""
    try:
        import transformers
    except ImportError:
        return None
    with quiet():
        kind = getattr(transformers, auto)
        return kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32, **options).eval()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers tells of every step on the standard error output; here it doesn't."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def compared_with() -> str:
    """In words, what the written folder was opened with."""
    import transformers

    return f"transformers {transformers.__version__}"
