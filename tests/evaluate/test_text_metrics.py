"""Figures of written texts against sacrebleu, and against what was counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dapeng.metrics.base import value_of
from dapeng.metrics.texts import (
    Bleu,
    ChrF,
    ExactMatch,
    Rouge1,
    Rouge2,
    RougeL,
    TextView,
    TokenF1,
    TranslationEdits,
)


def test_scores_of_single_texts_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs sacrebleu (dapeng[text])")
    said, true = ["the cat sat", "", "a dog"], ["the cat sits", "no", "a dog"]
    view = TextView(np.array(said, object), np.array(true, object), np.zeros(3), np.ones(3))
    wanted = [sacrebleu.sentence_chrf(a, [b]).score for a, b in zip(said, true)]
    assert ChrF().each(view).tolist() == pytest.approx(wanted)
    assert TokenF1().each(view).tolist() == pytest.approx([4 / 6, 0, 1])


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs sacrebleu (dapeng[text])")
    said = ["the cat sat on the mat", "a dog runs", "", "two men talk outside"]
    true = ["the cat is on the mat", "a dog runs fast", "nothing", "two men talk outside"]
    view = TextView(np.array(said, object), np.array(true, object), np.zeros(4), np.ones(4))
    assert value_of(Bleu(), view) == pytest.approx(sacrebleu.corpus_bleu(said, [true]).score)
    assert value_of(ChrF(), view) == pytest.approx(sacrebleu.corpus_chrf(said, [true]).score)
    assert "tok:13a" in Bleu().signature(view)
    chinese = np.array(["今天天气很好", "我爱你"], object)
    view = TextView(chinese, np.array(["今天天气好", "我爱你"], object), np.zeros(2), np.ones(2))
    wanted = sacrebleu.corpus_bleu(chinese.tolist(), [view.texts.tolist()], tokenize="zh").score
    assert value_of(Bleu(), view) == pytest.approx(wanted)
    assert "tok:zh" in Bleu().signature(view)


def test_overlaps_of_words_are_those_counted_by_hand() -> None:
    view = TextView(
        np.array(["the cat sat", "猫坐着"], object),
        np.array(["The cat sat down!", "猫站着"], object),
        np.zeros(2),
        np.ones(2),
    )
    assert value_of(TokenF1(), view) == pytest.approx((6 / 7 + 4 / 6) / 2)
    assert value_of(Rouge1(), view) == pytest.approx((6 / 7 + 4 / 6) / 2)
    assert value_of(RougeL(), view) == pytest.approx((6 / 7 + 4 / 6) / 2)
    nothing = TextView(np.array(["cat", "?"], object), np.array(["dog", "!"], object), np.zeros(2), np.ones(2))
    assert value_of(Rouge2(), nothing) == value_of(TokenF1(), nothing) == 0


def test_what_the_tokeniser_does_not_know_is_no_exact_match() -> None:
    said = np.array(["光荣和\ufffd-force", "安徽", "安徽"], object)
    true = np.array(["光荣和\ufffd-force", "安徽", "湖南"], object)
    assert value_of(ExactMatch(), TextView(said, true, np.zeros(3), np.ones(3))) == pytest.approx(1 / 3)


def test_edits_of_translations_are_those_of_sacrebleu_and_a_moved_phrase_is_one() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs sacrebleu (dapeng[text])")
    said = ["on the mat the cat sat", "a dog runs", "", "two men talk outside"]
    true = ["the cat sat on the mat", "a dog runs fast", "nothing", "two men talk outside"]
    view = TextView(np.array(said, object), np.array(true, object), np.zeros(4), np.ones(4))
    ter = TranslationEdits()
    assert ter.each(view).tolist() == pytest.approx([100 / 6, 25, 100, 0])
    assert value_of(ter, view) == pytest.approx(sacrebleu.corpus_ter(said, [true]).score)
    assert ter.applies(view)
    assert "asian:no" in ter.signature(view)
    chinese = TextView(np.array(["今天天气很好"], object), np.array(["今天天气好"], object), np.zeros(1), np.ones(1))
    assert value_of(ter, chinese) == pytest.approx(100 / 5)
    assert "asian:yes" in ter.signature(chinese)
    long = np.array(["a b c d e " * 50], object)
    assert not ter.applies(TextView(long, long, np.zeros(1), np.ones(1))), "moves in a text of 250 words take too long"


def test_figures_are_told_by_the_script_that_most_letters_are_in() -> None:
    from dapeng.evaluate.tasks.texts import by_script
    from dapeng.evaluate.text import Verdict
    from dapeng.report.sections.scripts import _figures
    from dapeng.tokens.scripts import main_script

    told = ["the 12 cats", "猫 12345", "да, of", "42", "", "テスト"]
    assert [main_script(t) for t in told] == ["Latin", "Han", "Cyrillic", "digits", "others", "Kana"]
    texts = np.array(["a cat", "the dog"] * 5 + ["一只猫"] * 6 + ["да"], object)
    said = np.where(np.arange(17) % 2 == 0, texts, "x")
    nats = np.where(np.arange(17) < 10, 2.0, 6.0)
    view = TextView(said, texts, nats, np.full(17, 4.0))
    latin, han = by_script(view)["by_script"]
    assert (latin["script"], latin["rows"], han["script"], han["rows"]) == ("Latin", 10, "Han", 6)
    assert latin["metrics"]["exact_match"] == han["metrics"]["exact_match"] == 0.5
    assert latin["metrics"]["bits_per_byte"] == pytest.approx(2.0 / np.log(2) / 6)  # 5 and 7 bytes
    assert han["metrics"]["bits_per_byte"] == pytest.approx(6.0 / np.log(2) / 9)
    assert han["metrics"]["perplexity"] == pytest.approx(np.exp(1.5))
    assert by_script(view.take(np.arange(10))) == {}
    found = {
        "rows": 17,
        "titles": {},
        "metrics": {"exact_match": {"value": 0.5}},
        "leaderboard": [],
        "by_script": [latin, han],
    }
    found["titles"] = {"exact_match": "Exact <match>"}
    shown = str(_figures("y", found))
    assert ">Han<" in shown
    assert "Exact &lt;match&gt;" in shown
    assert "mostly in" in Verdict({"outputs": {"y": found}}).text()
