"""Which tokens may follow: the same as counting all texts of a small language by hand, and as `re` over whole texts."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_writing import writer  # type: ignore[import-not-found]

from dapeng.core.errors import RunError
from dapeng.generate.constraints import kept
from dapeng.generate.expressions import translated
from dapeng.generate.sampling import Sampling, chosen
from dapeng.generate.writing import Writing, stream, write
from dapeng.nn.causal import plain_view
from dapeng.tokens.characters import Bytes, Characters
from dapeng.tokens.learnt import BytePairs, WordPieces

pytest.importorskip("llguidance", reason="needs llguidance (dapeng[constrain])")

PARTS = ["abc", "abd", "大鹏", "大风起"]
EXPRESSION = "(?:abc|abd|大鹏|大风起){1,2}x?"
LANGUAGE = [
    ("".join(p) + end).encode() for n in (1, 2) for p in itertools.product(PARTS, repeat=n) for end in ("", "x")
]
BYTES = Bytes.trained([], 0)


def pairs() -> BytePairs:
    return BytePairs.trained(["abc abd 大鹏 大风起 abcabd 大鹏大鹏 abcx"] * 9, 300)


@pytest.mark.parametrize("codec", [BYTES, pairs(), Characters.trained(["abcd大鹏风起x"], 99)], ids=lambda c: c.kind)
def test_the_allowed_tokens_are_those_that_some_text_goes_on_with(codec: Any) -> None:
    said, seen = codec.token_bytes(), 0
    torch.manual_seed(0)
    for _ in range(8):
        walk, text = kept(codec, Sampling(regex=EXPRESSION)), b""
        assert walk is not None
        while not walk.complete:
            wanted = {i for i, t in enumerate(said) if t and any(w.startswith(text + t) for w in LANGUAGE)}
            wanted |= {codec.eos} if text in LANGUAGE else set()
            found = set(torch.nonzero(walk.allowed())[:, 0].tolist())
            assert found == wanted, text
            token = sorted(found)[int(torch.randint(len(found), ()))]
            seen += 1
            if token == codec.eos:
                break
            walk.take(token)
            text += said[token]
        assert text in LANGUAGE
    assert seen > 20


@pytest.mark.parametrize("codec", [BYTES, pairs()], ids=lambda c: c.kind)
def test_the_greedy_text_is_the_likeliest_token_that_fits_every_time(codec: Any) -> None:
    model, said = writer("llama", codec.size), codec.token_bytes()
    ids, text = [codec.bos, 70, 71], b""
    with torch.no_grad():
        while True:
            hidden = model.hidden(torch.tensor([ids]), plain_view(1, len(ids)))
            logits = hidden[0, -1] @ model.matrix.T
            fits = [bool(t) and any(w.startswith(text + t) for w in LANGUAGE) for t in said]
            fits[codec.eos] = text in LANGUAGE
            token = int(logits.masked_fill(~torch.tensor(fits), float("-inf")).argmax())
            if token == codec.eos:
                break
            ids.append(token)
            text += said[token]
            if not any(w.startswith(text) and w != text for w in LANGUAGE):
                break
    greedy = Sampling(regex=EXPRESSION, temperature=0)
    assert write(model, codec, [[codec.bos, 70, 71]], greedy) == [text.decode()]


EXPRESSIONS = [
    r"\w+", r"\W{2}", r"\s?\S", r"[^\d_]\d", r"(?i)straße[k-s]", r"(?s).a", r".a", r"(?a)\w\d", r"a|^b$|(?:c$)", r"[^a]{1,2}",
    r"(?x) a \  b", r"[大-鹏]*?", r"(?:ab?){2,3}", r"\.\*\[\]/\\\"&~#", r"(?i:É)x", r"\n\t",
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_accepted_is_what_re_matches_whole(expression: str, data: st.DataObject) -> None:
    strange = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    fitting = st.from_regex(re.compile(expression), fullmatch=True)
    text = data.draw(st.one_of(fitting, strange, st.text("abc1_ \n\x1cſKİé\u0301٣²〇", max_size=4)))
    walk = kept(BYTES, Sampling(regex=expression))
    assert walk is not None
    ids = BYTES.encode([text])[0].tolist()
    for token in ids:
        if walk.complete or not walk.allowed()[token]:
            assert not re.fullmatch(expression, text)
            return
        walk.take(token)
    accepted = walk.complete or bool(walk.allowed()[BYTES.eos])
    assert accepted == bool(re.fullmatch(expression, text))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("a(b", "character 2 of 'a(b'"),
        ("[z-a]", "character 2 of"),
        (r"\bword", "edge of a word"),
        ("a(?!b)", "looking ahead"),
        (r"(a)\1", "repeating what a group found"),
        ("(?>a)", "an atomic group"),
        ("a++", "a possessive repeat"),
        ("b^a", "stands only where the text begins"),
        ("(a$)+", "stands only where the text begins"),
    ],
)
def test_what_no_text_can_be_kept_to_is_named(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        translated(expression)
    with pytest.raises(ValueError, match=re.escape("regex: ")):
        Sampling(regex=expression)


def test_only_allowed_tokens_are_taken_by_the_rows_that_have_such() -> None:
    logits = torch.tensor([0.6, 0.2, 0.15, 0.05]).log().repeat(2, 1)
    mask = torch.tensor([False, False, True, True])
    both = [Sampling(temperature=0)] * 2
    tokens, logprobs = chosen(logits, both, [[], []], [0, 0], allowed=[None, mask])
    assert tokens.tolist() == [0, 2]
    torch.testing.assert_close(logprobs.exp(), torch.tensor([0.6, 0.15]))
    drawn = [Sampling(temperature=3, seed=s, top_k=3) for s in range(60)]
    found = {int(chosen(logits[:1], [s], [[]], [0], [3], [mask])[0]) for s in drawn}
    assert found == {2}


def test_a_text_that_finds_no_way_on_leaves_the_others_running() -> None:
    """Of JSON it is not known beforehand that a letter is missing."""
    codec = Characters.trained(['"abc{}:1'], 99)
    model = writer("llama", codec.size)
    writing = Writing(model, codec)
    free = writing.add([codec.bos], Sampling(temperature=0, max_tokens=20))
    writing.add([codec.bos], Sampling(temperature=0, schema={"const": "ab龍"}))
    pieces = writing.step() + writing.step() + writing.step()  # the quote, and two letters
    with pytest.raises(RunError, match="no token of this run's vocabulary"):
        writing.step()
    pieces += stream(writing)
    alone = Writing(model, codec)
    alone.add([codec.bos], Sampling(temperature=0, max_tokens=20))
    assert [p.token for p in pieces if p.request == free] == [p.token for p in stream(alone)]


def test_an_automaton_that_grows_too_large_says_so() -> None:
    walk = kept(BYTES, Sampling(regex=r"(\w+ ?){2000,}"))
    assert walk is not None

    def follow(text: str) -> None:
        for byte in text.encode():
            assert walk.allowed()[BYTES.first + byte]
            walk.take(BYTES.first + byte)

    with pytest.raises(RunError, match="automaton grows too large"):
        follow("一ab " * 3000)


def test_a_text_that_outgrows_the_window_is_kept_to_its_expression() -> None:
    writing = Writing(writer("llama", 260), BYTES, window=12)
    writing.add([1, 70, 71], Sampling(regex="([0-9]{3}-){9}[0-9]大鹏", temperature=1.5, seed=2))
    assert re.fullmatch("([0-9]{3}-){9}[0-9]大鹏", "".join(p.text for p in stream(writing)))


def test_a_tokeniser_whose_tokens_depend_on_each_other_is_refused() -> None:
    with pytest.raises(RunError, match=r"wordpiece.*beside it") as caught:
        kept(WordPieces.trained(["some words and wordings"] * 9, 100), Sampling(regex="a"))
    assert "train with tokeniser" in str(caught.value)


def test_a_schema_says_which_of_its_parts_is_wrong() -> None:
    inner = {"anyOf": [{"type": "integer"}, {"type": "strin"}]}
    schema = {"type": "array", "items": {"$ref": "#/$defs/one"}, "$defs": {"one": inner}}
    with pytest.raises(RunError, match=re.escape("schema#/$defs/one/anyOf/1: Invalid type: strin")):
        kept(BYTES, Sampling(schema=schema))
    good = {
        **schema,
        "$defs": {"one": {"type": "boolean"}},
        "minItems": 1,
        "maxItems": 2,
        "title": "t",
        "$comment": "c",
    }
    texts = {write(writer(size=260), BYTES, [[1]], Sampling(schema=good, temperature=2, seed=s))[0] for s in range(9)}
    assert all(set(map(type, json.loads(t))) == {bool} for t in texts)
