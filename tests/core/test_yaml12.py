"""YAML is read as version 1.2's core schema, with lines, and within limits."""

import contextlib
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dapeng.core import yaml12
from dapeng.core.yaml12 import YamlError, decode, dump, read, scalar


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"), ("off", "off"), ("Yes", "Yes"), ("true", True), ("False", False),
        ("1e-3", 0.001), ("3e-4", 0.0003), ("1.10", 1.1), (".5", 0.5), ("5.", 5.0), ("-.inf", float("-inf")),
        ("12:30:45", "12:30:45"), ("010", 10), ("0o17", 15), ("0x1F", 31), ("+7", 7), ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"), ("~", None), ("null", None), ("", None), ("0b11", "0b11"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_scalars_mean_what_version_1_2_says_Y04(written, value):
    read_back = read(f"a: {written}").value["a"]
    assert read_back == value
    assert type(read_back) is type(value)


def test_quoted_scalars_are_texts():
    assert read("a: '1'\nb: \"no\"\nc: |\n  3\n").value == {"a": "1", "b": "no", "c": "3\n"}


def test_keys_are_texts_as_written():
    assert read("2020: a\nno: b\nnull: c\n1.10: d").value == {"2020": "a", "no": "b", "null": "c", "1.10": "d"}


def test_a_key_given_twice_names_both_lines_Y03():
    document = read("a: 1\nb: 2\na: 3\n")
    (flaw,) = document.flaws
    assert (flaw.line, flaw.what, flaw.hint) == (3, "key 'a' appears twice", "it is also on line 1")
    assert document.value == {"a": 1, "b": 2}


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!mine", "!!set"])
def test_tags_are_refused_and_nothing_is_built_Y02(tag):
    (flaw,) = read(f"a: 1\nb: {tag} [x]\n").flaws
    assert flaw.line == 2
    assert f"tag '{tag}' is not allowed" in flaw.what


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(10, 9), "more than 100,000 values"),
        ("a: &a 1\nb: [" + "*a, " * 101 + "]", "more than 100 aliases"),
        ("a: &a [*a]", "inside of its own anchor"),
        ("a: *b", "no anchor"),
        ("a: [" + "1," * 100_001 + "]", "more than 100,000 values"),
        ("a: " + "[" * 3000, "nested deeper than 32"),
        ("\n".join("  " * i + "a:" for i in range(900)), "nested deeper than 32"),
        ("a: &a [[[[[[[[[[1]]]]]]]]]]\nb: &b [[[[[[[[[[*a]]]]]]]]]]\nc: &c [[[[[[[[[[*b]]]]]]]]]]\nd: [[[*c]]]", "aliases expanded"),
        ("a: " + "x" * 1_000_001, "at most 1,000,000"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: \x01", "control character"),
        ("? [a, b]\n: 1", "can't be a key"),
        ("", "empty"),
        ("# nothing\n", "empty"),
    ],
)  # fmt: skip
def test_limits_stop_the_reading_before_time_or_memory_is_taken_Y01_Y06(text, words):
    started = time.process_time()
    with pytest.raises(YamlError, match=words):
        read(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: c: d\n", 2, "a second ': '"),
        ("a:\n\t- x\n", 2, "a tab indents"),
        ("a: 1\nb: 'x\nc: 2\n", 2, "not closed"),
        ("a: 1\nb: @x\n", 2, "not valid YAML"),
    ],
)
def test_what_is_no_yaml_is_an_error_with_its_line(text, line, words):
    with pytest.raises(YamlError, match=words) as caught:
        read(text)
    assert caught.value.line == line


def test_lines_of_every_path():
    assert read("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n").lines == {
        (): 1, ("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", 0): 4, ("a", "c", 1): 5, ("a", "c", 1, "y"): 5,
    }  # fmt: skip


def test_aliased_values_are_copies():
    value = read("a: &a {x: 1}\nb: *a\n").value
    value["a"]["x"] = 2
    assert value["b"] == {"x": 1}


def test_bytes_that_are_no_utf8_name_their_line():
    with pytest.raises(YamlError, match="not UTF-8") as caught:
        decode("a: 1\nb: 大鹏\n".encode("gb18030"))
    assert caught.value.line == 2
    assert decode("\ufeffa: 1".encode()) == "a: 1"
    assert decode("a: 大".encode("utf-16")) == "a: 大"


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False)
tricky = st.sampled_from(
    ["no", "1e-3", "010", "0o17", "12:30:45", "~", "", ".inf", "2026-01-02", "*a", "- x", "0x1f", "1e5"]
)
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts | tricky,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | tricky, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(plain)
def test_what_is_dumped_reads_back(value):
    assert read(dump({"v": value})).value == {"v": value}


@settings(max_examples=150, deadline=None)
@given(tricky | texts.filter(str.isprintable))
def test_dumped_texts_are_texts_for_readers_of_version_1_1_too(text):
    assert yaml.safe_load(dump({"v": text})) == {"v": text}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text):
    with contextlib.suppress(YamlError):
        assert read(text).lines[()] >= 1


def test_a_number_of_many_digits_is_no_crash():
    assert isinstance(scalar("9" * 10_000), str)
    assert yaml12.MAX_DIGITS < 4300
