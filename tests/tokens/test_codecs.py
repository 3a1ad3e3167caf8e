"""Tokenisers of written text: the same text back, deterministic, special tokens in a text are text."""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import time
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dapeng.core.errors import RunError
from dapeng.tokens import learnt
from dapeng.tokens.base import SPECIAL, Codec
from dapeng.tokens.characters import Bytes, Characters
from dapeng.tokens.file import File
from dapeng.tokens.learnt import BytePairs, Learnt, WordPieces
from dapeng.tokens.sentence_pieces import SentencePieces
from dapeng.tokens.words import UNREAD, Words

TEXTS = [
    "The quick brown fox jumps over the lazy dog, 1234567 times.",
    "  two  blanks,\ttabs\nand lines\n\n",
    "太好看了，推荐！今天天气很好。",
    "Смешанный текст и عربي भी और 日本語と한국어",
    "naïve café 🤖👩‍👩‍👧 <eos> <pad> it's we'll they've",
    "",
] * 5
KINDS: list[type[Codec]] = [Characters, Bytes, BytePairs, SentencePieces, WordPieces, Words]


@pytest.fixture(scope="module", params=KINDS, ids=lambda k: k.kind)
def codec(request: pytest.FixtureRequest) -> Codec:
    return request.param.trained(iter(TEXTS), 700, ["<|im_start|>"])


def test_a_text_comes_back_as_it_was(codec: Codec) -> None:
    if isinstance(codec, WordPieces):
        pytest.skip("word pieces do not keep blanks, and say so")
    ids, lengths = codec.encode(TEXTS)
    assert lengths.sum() == len(ids)
    at = 0
    for text, length in zip(TEXTS, lengths.tolist()):
        assert codec.decode(ids[at : at + length].tolist()) == text
        at += length


def test_special_tokens_in_a_text_are_text(codec: Codec) -> None:
    special = {codec.pad, codec.bos, codec.eos, *codec.marks.values()}
    assert len(special) == 4
    ids, _ = codec.encode(["".join(SPECIAL[:3]) + "<|im_start|>"])
    assert special.isdisjoint(ids.tolist())
    assert codec.decode(sorted(special)) == ""


def test_the_same_stream_gives_the_same_tokeniser_and_a_file_keeps_it(codec: Codec) -> None:
    again = type(codec).trained(iter(TEXTS), 700, ["<|im_start|>"])
    assert again.state == codec.state
    shuffled = type(codec).trained(iter(TEXTS[::-1]), 700, ["<|im_start|>"])
    assert shuffled.state == codec.state
    kept = type(codec)(json.loads(json.dumps(codec.state)))
    assert kept.encode(TEXTS)[0].tolist() == codec.encode(TEXTS)[0].tolist()
    assert kept.size == codec.size
    assert int(codec.encode(TEXTS)[0].max()) < codec.size


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
@pytest.mark.parametrize("kind", [Bytes, BytePairs, SentencePieces], ids=lambda k: k.kind)
def test_any_text_at_all_comes_back(kind: type[Codec], text: str) -> None:
    codec = _trained(kind)
    ids, _ = codec.encode([text])
    assert codec.decode(ids.tolist()) == text.encode("utf-8", "replace").decode("utf-8")


@cache
def _trained(kind: type[Codec]) -> Codec:
    return kind.trained(iter(TEXTS), 700)


@pytest.mark.parametrize("kind", [BytePairs, WordPieces], ids=lambda k: k.kind)
def test_remembered_words_have_the_ids_that_the_library_gives(kind: type[Learnt]) -> None:
    texts = _real_texts()
    codec = kind.trained(iter(texts[:2_000]), 4_000)
    ids, _ = codec.encode(texts)
    whole = [i for e in codec.library.encode_batch_fast(texts, add_special_tokens=False) for i in e.ids]
    assert ids.tolist() == whole


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("aab ctheoné太好看的了一不1. "), min_size=1, max_size=40))
def test_new_words_are_merged_as_the_library_merges_them(word: str) -> None:
    codec = _learnt_pairs()
    assert codec._reader()(word) == codec.library.encode(word, add_special_tokens=False).ids


@cache
def _learnt_pairs() -> BytePairs:
    return BytePairs.trained(iter(_real_texts()[:2_000]), 4_000)


def test_every_token_that_was_learnt_is_what_its_own_text_is_merged_to() -> None:
    codec = BytePairs.trained(iter([*_real_texts()[:2_000], *TEXTS, "aaaa aaaaaaa bababab " * 50]), 4_000)
    read = codec._reader()
    texts = {i: b.decode() for i, b in enumerate(codec.token_bytes()) if b and _is_text(b)}
    assert len(texts) > 3_000
    assert all(codec.library.encode(t, add_special_tokens=False).ids == [i] == read(t) for i, t in texts.items())


def test_a_text_that_is_one_long_word_takes_no_longer_than_its_length() -> None:
    read, word = _learnt_pairs()._reader(), "好看的太" * 5_000
    began = time.process_time()
    assert "".join(_learnt_pairs().decode(read(word))) == word
    assert (
        time.process_time() - began < 1
    )  # quadratic time was 1.3 seconds for as many, and a hundred times as long for ten times as many


def test_a_token_that_two_merges_make_is_left_to_the_library() -> None:
    made = json.loads(BytePairs.trained(iter(["ab abc bc"]), 300).state["tokenizer"])
    names = {i: n for n, i in made["model"]["vocab"].items()}
    first = 1 + max(i for i, n in names.items() if len(n) == 1)
    vocabulary = {n: i for i, n in names.items() if i < first}
    # ab and bc, then bcd, then abc both ways: the later one of the two comes behind bcd
    merges = [("a", "b"), ("b", "c"), ("bc", "d"), ("a", "bc"), ("d", "e"), ("ab", "c")]
    made["model"]["merges"] = [list(m) for m in merges]
    for token in ("ab", "bc", "bcd", "abc", "de"):
        vocabulary[token] = len(vocabulary)
    made["model"]["vocab"] = vocabulary
    codec = BytePairs({"kind": "bpe", "tokenizer": json.dumps(made), "marks": []})
    words = ["abcde", "abcd", "bcde", "abc", "xabcy", "de", "aab", "cab"]
    whole = [codec.library.encode(w, add_special_tokens=False).ids for w in words]
    assert [codec._reader()(w) for w in words] == whole
    assert [t for t, times in codec._made.items() if times > 1] == ["abc"]


@pytest.mark.parametrize("how", ["a token that no merge makes", "ids in another order"])
def test_a_vocabulary_that_was_not_learnt_here_is_left_to_the_library(how: str) -> None:
    made = json.loads(BytePairs.trained(iter(["abcd abcd ab cd"] * 9), 270).state["tokenizer"])
    vocabulary, merges = made["model"]["vocab"], made["model"]["merges"]
    if how == "ids in another order":
        first, last = ("".join(merges[i]) for i in (0, -1))
        vocabulary[first], vocabulary[last] = vocabulary[last], vocabulary[first]
    else:
        merges.pop()
    codec = BytePairs({"kind": "bpe", "tokenizer": json.dumps(made), "marks": []})
    for word in ("abcd", "abc", "ab", "bcd", "Ġabcd", " abcd", " ab"):
        assert codec._reader()(word) == codec.library.encode(word, add_special_tokens=False).ids


def _is_text(written: bytes) -> bool:
    try:
        return bool(written.decode())
    except UnicodeDecodeError:
        return False


ODD = [
    "don't 'll 's",
    "a_b __c",
    "1234 5",
    "x \t\x1c\x1f y \n",
    "  two",
    "trailing  ",
    "A-1.5e3",
    "tab\there",
    "'",
    "\x7f\x00",
]


def test_texts_of_ascii_are_cut_as_all_others_are() -> None:
    codec = BytePairs.trained(iter(TEXTS), 700)
    draw = random.Random(0)
    made = ["".join(draw.choices([chr(i) for i in range(128)], k=40)) for _ in range(2_000)]
    for text in [*ODD, *made]:
        assert codec._find_ascii(text) == codec._find(text), repr(text)


def test_what_is_remembered_is_bounded_and_left_behind_by_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = BytePairs.trained(iter(TEXTS), 700)
    wanted = codec.library.encode("a b c d e f").ids + codec.library.encode("x" * 100).ids
    monkeypatch.setattr(learnt, "MOST_REMEMBERED", 3)
    for _ in range(2):
        assert codec.encode(["a b c d e f", "x" * 100])[0].tolist() == wanted
    assert len(codec._known) <= 3
    codec.eos = 7  # as a chat sets it
    twin = copy.deepcopy(codec)
    assert not twin._known
    assert twin.eos == 7
    assert twin.encode(["a b c d e f", "x" * 100])[0].tolist() == wanted


def test_a_model_file_of_the_library_is_read_as_it_is(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs sentencepiece (dapeng[text])")
    (tmp_path / "corpus.txt").write_text("\n".join(_real_texts()[:1_000]), "utf-8")
    for kind in ("unigram", "bpe"):
        prefix = tmp_path / kind
        sentencepiece.SentencePieceTrainer.train(
            input=str(tmp_path / "corpus.txt"), model_prefix=str(prefix), vocab_size=900, model_type=kind, minloglevel=2
        )
        theirs = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
        ours = SentencePieces.of_file(prefix.with_suffix(".model").read_bytes())
        text = "Click the button, then choose Save. 点击按钮"
        ids, _ = ours.encode([text])
        assert ids.tolist() == theirs.encode(text)
        assert ours.decode([ours.bos, *ids.tolist(), ours.eos]) == theirs.decode(theirs.encode(text))


def test_a_lone_surrogate_is_replaced_and_half_a_character_is_shown_as_such() -> None:
    codec = Bytes.trained([], 0)
    ids, _ = codec.encode(["a\ud800b"])
    assert codec.decode(ids.tolist()) == "a?b"
    ids, _ = codec.encode(["好"])
    assert codec.decode(ids.tolist()[:2]) == "\ufffd"


def test_pieces_and_fertility_say_how_a_script_is_cut() -> None:
    codec = BytePairs.trained(iter(TEXTS), 500)
    assert "".join(codec.pieces("The quick fox")) == "The quick fox"
    assert codec.fertility(["The quick brown fox"]) < codec.fertility(["กขคง"])


def _real_texts() -> list[str]:
    found = os.environ.get("DAPENG_SAMPLES")
    if not found or not (Path(found) / "help_en_zh.tsv.gz").is_file():
        pytest.skip("DAPENG_SAMPLES has no help_en_zh")
    with gzip.open(Path(found) / "help_en_zh.tsv.gz", "rt", encoding="utf-8") as file:
        return [line for line, _ in zip(file, range(6_000))]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
@pytest.mark.parametrize("kind", [Bytes, BytePairs, SentencePieces, Characters], ids=lambda k: k.kind)
def test_the_bytes_of_tokens_laid_together_are_the_text(kind: type[Codec], text: str) -> None:
    codec = _trained(kind)
    said = codec.token_bytes()
    assert len(said) == codec.size
    ids = codec.encode([text])[0].tolist()
    known = [i for i in ids if i not in codec.unwritten]
    assert b"".join(said[i] for i in known).decode() == codec.decode(known)
    assert not any(said[i] for i in (codec.pad, codec.bos, codec.eos, *codec.marks.values()))


def test_the_bytes_of_the_tokens_of_a_published_file_are_those_of_its_maker(tmp_path: Path) -> None:

    for kind in (BytePairs, SentencePieces, WordPieces, Characters):
        codec = kind.trained(iter(TEXTS), 700, marks=["<user>"])
        published = codec.published()
        state = {
            "kind": "file", "tokenizer": json.dumps(published), "size": codec.size + 3, "bos": codec.bos, "eos": codec.eos,
            "pad": codec.pad, "marks": [], "longest": None,
        }  # fmt: skip
        file = File(state)
        if kind in (WordPieces, Characters):
            with pytest.raises(RunError, match="beside it"):
                file.token_bytes()
            continue
        assert file.token_bytes() == [*codec.token_bytes(), b"", b"", b""]


def test_a_model_file_that_drops_the_first_blank_of_a_text_is_refused(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs sentencepiece (dapeng[text])")
    (tmp_path / "corpus.txt").write_text("\n".join(_real_texts()[:1_000]), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "m"), vocab_size=900, minloglevel=2
    )
    with pytest.raises(RunError, match="beside it"):
        SentencePieces.of_file((tmp_path / "m.model").read_bytes()).token_bytes()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_words_give_back_any_text_whose_words_they_know(text: str) -> None:
    codec = Words.trained([text], 700)
    assert codec.decode(codec.encode([text])[0].tolist()) == text.encode("utf-8", "replace").decode("utf-8")


def test_a_command_is_words_that_are_the_same_wherever_they_stand() -> None:
    told = "I_TURN_RIGHT I_JUMP I_TURN_RIGHT"
    codec = Words.trained([told], 700)
    ids = codec.encode([told])[0].tolist()
    assert ids[0] == ids[2] != ids[1]
    assert codec.decode(ids) == told
    assert codec.encode(["I_JUMP"])[0].tolist() == [ids[1]], "taught behind another, known alone"


def test_words_that_are_too_rare_are_one_unknown_and_small_letters_are_asked_for() -> None:
    codec = Words.trained(["the cat sat. the cat ran."], 4 + 3)
    ids = codec.encode(["the dog ran."])[0].tolist()
    assert ids.count(codec.unknown) == 2
    assert codec.decode(ids) == f"the{UNREAD}{UNREAD}."
    lower = Words({**codec.state, "lowercase": True})
    assert lower.encode(["THE Cat"])[0].tolist() == codec.encode(["the cat"])[0].tolist()
    assert codec.unknown in codec.encode(["THE Cat"])[0].tolist()


def test_numbers_with_marks_come_back_and_what_does_not_is_counted() -> None:
    from dapeng.columns.borrowed import Borrowed
    from dapeng.columns.tokenisers import KINDS

    texts = ["at 10:30", "3.14", "10,000", "Ida is born in Oslo. Max is fond of chess.", "2001. He", "吉田"]
    counts = Counter(u for t in texts for u in KINDS["words"].units(t, 1, 1))
    state = {"kind": "words", "vocab": ["<pad>", "<unk>", "<bos>", "<eos>", *counts, "a"]}
    codec = Borrowed({"tokeniser": state, "lowercase": False, "form": "NFC"})
    for text in texts:
        assert codec.decode(codec.encode([text])[0].tolist()) == text
    assert codec.altered(texts) == 0
    assert codec.altered(["3.14", "Oslo . Max"]) == 0.5
