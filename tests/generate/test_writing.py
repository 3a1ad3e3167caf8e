"""Batched, cached, joined and left: the texts are those of the plain loop, whatever else is written at the same time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from dapeng.generate.beams import beam_search
from dapeng.generate.sampling import Sampling, chosen
from dapeng.generate.texts import Growing
from dapeng.generate.writing import Writing, stream, write
from dapeng.nn.causal import Shape, plain_view
from dapeng.nn.recurrent_writer import RecurrentShape, RecurrentWriter
from dapeng.nn.token_writer import TokenWriter
from dapeng.nn.writer import Writer
from dapeng.tokens.characters import Bytes
from dapeng.tokens.learnt import BytePairs
from dapeng.tokens.sentence_pieces import SentencePieces

GREEDY = Sampling(max_tokens=24, temperature=0)
SHAPES = {
    "gpt": Shape(
        32, 2, 4, 4, 8, 64, norm="layer", activation="gelu", gated=False, bias=True, rotary=None, positions=128
    ),
    "llama": Shape(32, 2, 4, 2, 8, 48),
}


def writer(name: str = "llama", size: int = 263, cross: int | None = None) -> Writer:
    torch.manual_seed(0)
    shape = Shape(**{**SHAPES[name].__dict__, "cross": cross})
    model = Writer(shape, nn.Embedding(size, 32)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        model.table.module.weight.add_(0.5 * torch.randn_like(model.table.module.weight))  # type: ignore[operator]
    return model


def plain_loop(
    model: TokenWriter, prompt: list[int], tokens: int, eos: int, said: torch.Tensor | None = None
) -> list[int]:
    """No cache, no state, no batch: the whole text anew for every token."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            logits = model.behind(torch.tensor([ids]), None, said, None)[0, -1] @ model.matrix.T
            logits[list(Bytes.trained([], 0).unwritten)] = float("-inf")
            token = int(logits.argmax())
            if token == eos:
                break
            ids.append(token)
    return ids[len(prompt) :]


def prompts(codec: Bytes) -> list[list[int]]:
    texts = ["a", "The quick brown", "好", "to be or not", "x" * 30]
    return [[codec.bos, *codec.encode([t])[0].tolist()] for t in texts]


@pytest.mark.parametrize("name", SHAPES)
def test_ragged_prompts_in_one_batch_give_the_texts_of_the_plain_loop(name: str) -> None:
    model, codec = writer(name, 260), Bytes.trained([], 0)
    wanted = [codec.decode(plain_loop(model, p, 24, codec.eos)) for p in prompts(codec)]
    assert write(model, codec, prompts(codec), GREEDY) == wanted
    assert len(set(wanted)) > 1


@pytest.mark.parametrize("name", SHAPES)
def test_texts_that_join_and_leave_a_running_batch_are_the_same(name: str) -> None:
    model, codec = writer(name, 260), Bytes.trained([], 0)
    asked = prompts(codec)
    wanted = {i: codec.decode(plain_loop(model, p, 8 + 3 * i, codec.eos)) for i, p in enumerate(asked)}
    writing, names = Writing(model, codec, most_rows=3), {}
    found = dict.fromkeys(wanted, "")

    def step() -> None:
        for piece in writing.step():
            if piece.request != gone:
                found[names[piece.request]] += piece.text

    gone = 0
    for number, prompt in enumerate(asked):
        names[writing.add(prompt, Sampling(max_tokens=8 + 3 * number, temperature=0))] = number
        step()
        step()
    gone = writing.add(asked[0], GREEDY)
    step()
    writing.drop(gone)
    while writing.busy:
        step()
    assert found == wanted


def test_a_drawn_text_depends_on_its_seed_and_on_nothing_beside_it() -> None:
    model, codec = writer("llama", 260), Bytes.trained([], 0)
    first, *others = prompts(codec)
    drawn = Sampling(max_tokens=20, temperature=1.3, top_k=40, top_p=0.95, min_p=0.001, seed=5)
    alone = write(model, codec, [first], drawn)[0]
    assert write(model, codec, [*others, first], drawn)[-1] == alone
    seeds = {write(model, codec, [first], Sampling(max_tokens=20, temperature=1.3, seed=s))[0] for s in range(5)}
    assert len(seeds) > 1


def test_what_is_drawn_has_the_probabilities_that_are_left() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, -9.0]])
    wanted = logits[0].softmax(0)

    def shares(**settings: Any) -> torch.Tensor:
        tokens = [int(chosen(logits, [Sampling(seed=s, **settings)], [[]], [0])[0]) for s in range(4000)]
        return torch.bincount(torch.tensor(tokens), minlength=5) / 4000

    torch.testing.assert_close(shares(), wanted, atol=0.025, rtol=0)
    torch.testing.assert_close(
        shares(top_k=2), torch.tensor([*(wanted[:2] / wanted[:2].sum()), 0, 0, 0]), atol=0.025, rtol=0
    )
    assert shares(top_p=0.6)[1:].sum() == 0
    assert shares(min_p=0.3)[2:].sum() == 0
    assert shares(min_p=0.3)[1] > 0.2
    assert shares(temperature=0)[0] == 1
    token, logprob = chosen(logits, [Sampling(temperature=0)], [[]], [0])
    torch.testing.assert_close(logprob[0], wanted[int(token)].log())


def test_what_is_there_already_is_less_likely() -> None:
    logits = torch.tensor([[2.0, 1.9, -1.0]])
    one = Sampling(temperature=0, repetition_penalty=1.3)
    assert int(chosen(logits, [one], [[]], [0])[0]) == 0
    assert int(chosen(logits, [one], [[0]], [0])[0]) == 1


def test_wrong_settings_are_named() -> None:
    for key, value in (
        ("temperature", -1),
        ("top_p", 0),
        ("top_k", -3),
        ("max_tokens", 0),
        ("min_p", 2),
        ("stop", ("",)),
    ):
        with pytest.raises(ValueError, match=key):
            Sampling(**{key: value})


def test_a_prompt_that_leaves_no_room_is_refused_and_a_text_ends_where_room_ends() -> None:
    model, codec = writer("gpt", 260), Bytes.trained([], 0)
    writing = Writing(model, codec, longest=12)
    with pytest.raises(ValueError, match="12"):
        writing.add([1] * 12, GREEDY)
    writing.add([1, 70, 71], GREEDY)
    pieces = list(stream(writing))
    assert pieces[-1].end in ("length", "stop")
    assert len(pieces) <= 9


def plain_windows(model: Writer, prompt: list[int], tokens: int, eos: int, window: int) -> list[int]:
    """No cache, no batch: of a text that has outgrown the window, the last half of it and what came since."""
    ids, seen = list(prompt), list(prompt) if len(prompt) <= window else prompt[-(window // 2) :]
    for _ in range(tokens):
        (token,) = plain_loop(model, seen, 1, eos) or [eos]
        if token == eos:
            break
        ids.append(token)
        seen = [*seen, token] if len(seen) < window else ids[-(window // 2) :]
    return ids[len(prompt) :]


@pytest.mark.parametrize("name", list(SHAPES))
def test_texts_that_outgrow_the_window_are_read_anew_from_its_last_half(name: str) -> None:
    model, codec = writer(name, 260), Bytes.trained([], 0)
    writing = Writing(model, codec, window=12)
    numbers = {writing.add(p, Sampling(max_tokens=40, temperature=0)): p for p in prompts(codec)}
    found: dict[int, list[int]] = {n: [] for n in numbers}
    for piece in stream(writing):
        found[piece.request] += [] if piece.token is None else [piece.token]
    for number, prompt in numbers.items():
        assert found[number] == plain_windows(model, prompt, 40, codec.eos, 12)
    assert max(len(t) for t in found.values()) == 40


def test_half_a_character_and_the_beginning_of_a_stop_text_are_held_back() -> None:
    codec = Bytes.trained([], 0)
    growing = Growing(codec, ["END"])
    shown = [growing.add(i) for i in codec.encode(["好E好ENxEND and more"])[0].tolist()]
    assert "".join(shown) == "好E好ENx"
    assert growing.ended
    assert shown[0] == shown[1] == ""
    assert all("\ufffd" not in s for s in shown)
    cut = Growing(codec, ["END"])
    text = "".join(cut.add(i) for i in codec.encode(["abc EN"])[0].tolist())
    assert text + cut.close() == "abc EN"
    broken = Growing(codec)
    assert "".join(broken.add(i) for i in codec.encode(["a好"])[0].tolist()[:2]) + broken.close() == "a\ufffd"


def test_pieces_of_a_byte_level_tokeniser_join_to_the_text() -> None:
    text = "Dapeng 大鹏 🤖 rises, 扶摇而上者九万里。"
    codec = BytePairs.trained([text], 300)
    growing = Growing(codec)
    assert "".join(growing.add(i) for i in codec.encode([text])[0].tolist()) + growing.close() == text


@pytest.mark.parametrize("kind", [Bytes, BytePairs, SentencePieces], ids=lambda k: k.kind)
def test_what_is_shown_piece_by_piece_is_the_text(kind: Any) -> None:
    codec = kind.trained(["hi you and me, all of them"] * 20, 600)
    text = "hi 😀 you, 大鹏 🤖"
    growing = Growing(codec)
    assert "".join(growing.add(i) for i in codec.encode([text])[0].tolist()) + growing.close() == text


def test_beams_find_the_best_of_all_texts() -> None:
    model = writer("llama", 6)
    eos, longest = 2, 4
    begin = torch.tensor([[1], [3]])
    with torch.no_grad():
        best: list[dict[tuple[int, ...], float]] = [{}, {}]
        for row in range(2):
            for text in itertools.product(range(6), repeat=longest):
                cut = text[: text.index(eos) + 1] if eos in text else text
                ids = torch.tensor([[int(begin[row]), *cut]])
                logs = (model.hidden(ids[:, :-1], plain_view(1, len(cut)))[0] @ model.matrix.T).log_softmax(-1)
                best[row][cut] = float(logs[torch.arange(len(cut)), ids[0, 1:]].sum())
    found = beam_search(model, begin, eos, beams=36, max_tokens=longest, length_penalty=0.0)
    for row in range(2):
        top = sorted(best[row].items(), key=lambda i: -i[1])[:5]
        ours = found[row][:5]
        assert [f.logprob for f in ours] == pytest.approx([s for _, s in top], abs=1e-4)
        assert [tuple(f.ids) for f in ours] == [tuple(t for t in text if t != eos) for text, _ in top]


class Table:
    """Writes by a table: the probabilities of the next token, by how many there are."""

    def __init__(self, *steps: list[float]):
        self.steps, self.asked = steps, 0
        self.rows: list[int] = []

    def start(self, rows: int, room: int) -> Any:
        return self

    def take(self, index: torch.Tensor) -> Any:
        return self

    def spread(self, beams: int) -> Any:
        return self

    def step(self, ids: torch.Tensor, state: Any, lengths: torch.Tensor | None = None) -> torch.Tensor:
        self.asked += 1
        self.rows.append(len(ids))
        return torch.tensor([self.steps[min(self.asked, len(self.steps)) - 1]]).log().expand(len(ids), -1)


def test_one_beam_takes_the_likeliest_token_and_stops_where_that_is_the_end() -> None:
    early = Table([0.4, 0.6, 0.0], [0.2, 0.4, 0.4], [0.9, 0.05, 0.05])  # the end is token 0
    (found,) = beam_search(early, torch.tensor([[1]]), 0, beams=1, max_tokens=9)
    assert found[0].ids == [1, 1]
    assert early.asked == 3


def test_longer_texts_are_not_waited_for_once_all_that_go_on_are_worse() -> None:
    model = Table([0.0, 0.5, 0.5], [0.9, 0.05, 0.05], [0.1, 0.45, 0.45])
    (found,) = beam_search(model, torch.tensor([[1]]), 0, beams=2, max_tokens=1000)
    assert [f.ids for f in found] == [[1], [2]]
    assert model.asked == 2


@pytest.mark.parametrize("shape", ["llama", "gpt"])
def test_rows_that_end_leave_the_batch_and_the_others_write_as_if_alone(shape: str) -> None:
    model = writer(shape, 9, cross=12)
    torch.manual_seed(3)
    said = 3 * torch.randn(7, 5, 12)
    mask = torch.rand(7, 5) < 0.7
    mask[:, 0] = True
    begin = torch.ones(7, 1, dtype=torch.int64)
    asked: list[int] = []
    step = model.step
    model.step = lambda ids, state, lengths=None: (asked.append(len(ids)), step(ids, state, lengths))[1]
    together = beam_search(model, begin, 2, beams=3, max_tokens=40, said=said, mask=mask)
    assert asked[0] == 7
    assert min(asked[1:]) < 21
    assert max(asked) == 21
    for row in range(7):
        (alone,) = beam_search(
            model, begin[:1], 2, beams=3, max_tokens=40, said=said[row : row + 1], mask=mask[row : row + 1]
        )
        assert [f.ids for f in alone] == [f.ids for f in together[row]]
        assert [f.logprob for f in alone] == pytest.approx([f.logprob for f in together[row]], abs=1e-4)


def test_what_is_never_written_is_not_taken_however_likely_it_is() -> None:
    likely = [0.6, 0.2, 0.15, 0.05]
    for beams in (1, 3):
        (found,) = beam_search(Table(likely), torch.tensor([[1]]), 3, beams=beams, max_tokens=3, never=[0, 2])
        assert found[0].ids[:1] == [1]
        assert not {0, 2}.intersection(*[f.ids for f in found])
    logits = torch.tensor([likely]).log()
    assert int(chosen(logits, [Sampling(temperature=0)], [[]], [0], [0])[0]) == 1
    drawn = {int(chosen(logits, [Sampling(seed=s, temperature=3)], [[]], [0], [0, 2])[0]) for s in range(60)}
    assert drawn == {1, 3}


def test_one_beam_is_the_greedy_text_and_credit_for_length_prefers_longer_ones() -> None:
    model, codec = writer("llama", 260), Bytes.trained([], 0)
    prompt = prompts(codec)[1]
    found = beam_search(model, torch.tensor([prompt]), codec.eos, beams=1, max_tokens=12, never=codec.unwritten)
    assert found[0][0].ids == plain_loop(model, prompt, 12, codec.eos)
    small = writer("gpt", 6)
    lengths = [
        len(beam_search(small, torch.tensor([[1]]), 2, beams=4, max_tokens=10, length_penalty=p)[0][0].ids)
        for p in (0.0, 2.0)
    ]
    assert lengths[0] <= lengths[1]


def test_what_the_inputs_say_is_read_by_every_row_of_a_batch() -> None:
    model, codec = writer("llama", 260, cross=12), Bytes.trained([], 0)
    said = [torch.randn(1, n, 12) for n in (3, 7)]
    prompt = prompts(codec)[1]
    alone = []
    for tokens in said:
        writing = Writing(model, codec)
        writing.add(prompt, GREEDY, said=tokens)
        alone.append("".join(p.text for p in stream(writing)))
    together = Writing(model, codec)
    numbers = [together.add(prompt, GREEDY, said=tokens) for tokens in said]
    texts = dict.fromkeys(numbers, "")
    for piece in stream(together):
        texts[piece.request] += piece.text
    assert list(texts.values()) == alone
    assert alone[0] != alone[1]


RECURRENT = [(kind, attention) for kind in ("gru", "lstm") for attention in ("additive", "multiplicative", "none")]


def recurrent(kind: Any, attention: Any = "additive", size: int = 260, cross: int | None = None) -> RecurrentWriter:
    torch.manual_seed(0)
    shape = RecurrentShape(kind, 24, 32, 2, attention, cross=cross)
    model = RecurrentWriter(shape, nn.Embedding(size, 24)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.table.module.weight.mul_(6)  # type: ignore[operator]
    return model


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_ragged_prompts_of_a_recurrent_writer_give_the_texts_of_the_plain_loop(kind: str) -> None:
    model, codec = recurrent(kind), Bytes.trained([], 0)
    wanted = [codec.decode(plain_loop(model, p, 24, codec.eos)) for p in prompts(codec)]
    assert write(model, codec, prompts(codec), GREEDY) == wanted
    assert len(set(wanted)) > 1


@pytest.mark.parametrize(("kind", "attention"), RECURRENT)
def test_recurrent_texts_that_join_a_running_batch_read_their_own_inputs(kind: str, attention: str) -> None:
    model, codec = recurrent(kind, attention, cross=12), Bytes.trained([], 0)
    said = [torch.randn(1, n, 12) for n in (3, 7, 1, 5, 2)]
    asked = list(zip(prompts(codec), said))
    writing, found = Writing(model, codec, most_rows=3), dict[int, str]()
    wanted = dict[int, str]()
    for place, (prompt, tokens) in enumerate(asked):
        longest = 8 + 3 * place
        number = writing.add(prompt, Sampling(max_tokens=longest, temperature=0), said=tokens)
        wanted[number] = codec.decode(plain_loop(model, prompt, longest, codec.eos, said=tokens))
        for piece in [*writing.step(), *writing.step()]:
            found[piece.request] = found.get(piece.request, "") + piece.text
    for piece in stream(writing):
        found[piece.request] = found.get(piece.request, "") + piece.text
    assert found == wanted
    assert len(set(wanted.values())) == len(wanted)


@pytest.mark.parametrize(("kind", "attention"), RECURRENT)
def test_beams_of_a_recurrent_writer_find_the_best_of_all_texts(kind: str, attention: str) -> None:
    model, eos, longest = recurrent(kind, attention, 6, cross=5), 2, 4
    begin, said = torch.tensor([[1], [3]]), torch.randn(2, 3, 5)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = beam_search(model, begin, eos, beams=36, max_tokens=longest, length_penalty=0.0, said=said, mask=mask)
    for row in range(2):
        best: dict[tuple[int, ...], float] = {}
        with torch.no_grad():
            for text in itertools.product(range(6), repeat=longest):
                cut = text[: text.index(eos) + 1] if eos in text else text
                ids = torch.tensor([[int(begin[row]), *cut]])
                one = torch.ones_like(ids, dtype=torch.bool)
                best[cut] = -float(model.losses(ids, one, None, said[row : row + 1], mask[row : row + 1]).sum())
        top = sorted(best.items(), key=lambda i: -i[1])[:5]
        assert [f.logprob for f in found[row][:5]] == pytest.approx([s for _, s in top], abs=1e-4)
        assert [tuple(f.ids) for f in found[row][:5]] == [tuple(t for t in text if t != eos) for text, _ in top]
