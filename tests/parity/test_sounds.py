"""Sounds against references: spectra in numpy, networks in transformers, CTC in torch and by trying every path, errors by jiwer."""

from __future__ import annotations

import itertools
import math
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dapeng.columns.log_mel import FLOOR, filters, log_mel, sizes, window
from dapeng.core.kinds import encoders
from dapeng.data.batch import Cells
from dapeng.generate.ctc import best_path, log_probability, prefix_search
from dapeng.generate.kneser_ney import KneserNey
from dapeng.metrics.transcripts import edits
from dapeng.nn.mel import LogMel
from tests.contract.parts import batch_of, fitted


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050])
def test_the_spectrum_of_a_network_is_that_of_the_statistics(rate: int) -> None:
    draw = np.random.default_rng(0)
    samples = (3000 * draw.standard_normal(rate // 3)).astype(np.int16)
    length, step, size = sizes(rate)
    front = LogMel(filters(rate, 40, size), window(length), size, step, np.zeros(40), np.ones(40), FLOOR)
    found, wanted = front(torch.from_numpy(samples)[None])[0].numpy(), log_mel(samples, rate, 40)
    np.testing.assert_allclose(found[: len(wanted)], wanted, atol=2e-3)


def test_the_spectrum_is_that_of_torch_stft() -> None:
    samples = torch.randint(-9000, 9000, (1, 4000), dtype=torch.int16)
    length, step, size = sizes(8_000)
    weights, own = filters(8_000, 40, size), window(length)
    left = (length - step) // 2
    padded = F.pad(samples.double() / 32768, (left, size))
    wide = F.pad(torch.from_numpy(own), (0, size - length))
    power = torch.stft(padded, size, step, window=wide, center=False, return_complex=True).abs().square()[0]
    wanted = torch.log(torch.from_numpy(weights) @ power + FLOOR).T[: 4000 // step]
    front = LogMel(weights, own, size, step, np.zeros(40), np.ones(40), FLOOR)
    torch.testing.assert_close(front(samples)[0, : len(wanted)].double(), wanted, atol=2e-3, rtol=1e-3)


def test_cepstra_are_scipys_cosine_transform() -> None:
    from scipy.fft import dct

    samples = torch.randint(-9000, 9000, (1, 1600), dtype=torch.int16)
    length, step, size = sizes(8_000)
    parts: Any = (filters(8_000, 40, size), window(length), size, step, np.zeros(40), np.ones(40), FLOOR)
    bands, cepstra = LogMel(*parts)(samples)[0].numpy(), LogMel(*parts, 13)(samples)[0].numpy()
    np.testing.assert_allclose(cepstra, dct(bands, norm="ortho")[:, :13], atol=1e-4)


@pytest.mark.parametrize("large", [False, True])
def test_wav2vec2_is_that_of_transformers(large: bool) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        conv_dim=[8, 12], conv_kernel=[10, 4], conv_stride=[5, 4], num_feat_extract_layers=2, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=24, num_conv_pos_embeddings=6, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer" if large else "group", do_stable_layer_norm=large, conv_bias=large, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.Wav2Vec2Model(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    facts = {"config.json": config.to_dict(), "preprocessor_config.json": {"do_normalize": True}}
    folder: Any = SimpleNamespace(name="there", json=lambda name: facts[name])
    member = encoders.members()["wav2vec2"]
    options: Any = member(**member().architecture(folder), dropout=0.0)  # type: ignore[attr-defined]
    ours = options.build([SimpleNamespace(rate=16_000)], None).eval()
    ours.load_public(options.translated({f"wav2vec2.{n}": t for n, t in theirs.state_dict().items()}), "there")
    lengths = [900, 410]
    samples = torch.zeros(2, 900, dtype=torch.int16)
    mask = torch.arange(900) < torch.tensor(lengths)[:, None]
    samples[mask] = torch.randint(-9000, 9000, (sum(lengths),), dtype=torch.int16)
    with torch.no_grad():
        features = ours(Cells({"samples": samples, "mask": mask}))
        for row, length in enumerate(lengths):
            x = samples[row : row + 1, :length].float() / 32768
            x = (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-7)
            wanted = theirs(x).last_hidden_state[0]
            assert int(features.mask[row].sum()) == len(wanted)
            torch.testing.assert_close(features.tokens[row, : len(wanted)], wanted, rtol=1e-3, atol=1e-4)


def test_a_conformer_block_is_that_of_transformers() -> None:
    pytest.importorskip("transformers")
    from transformers import Wav2Vec2ConformerConfig
    from transformers.models.wav2vec2_conformer import modeling_wav2vec2_conformer as reference

    from dapeng.nn.conformer import ConformerBlock, waves

    torch.manual_seed(0)
    config: Any = Wav2Vec2ConformerConfig(
        hidden_size=16, num_attention_heads=2, intermediate_size=64, hidden_act="silu", conv_depthwise_kernel_size=5,
        position_embeddings_type="relative", hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, attn_implementation="eager",
    )  # fmt: skip
    theirs = reference.Wav2Vec2ConformerEncoderLayer(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = ConformerBlock(16, 2, 5, 0.0, torch.nn.BatchNorm2d).eval()
    state, named = theirs.state_dict(), {}
    for half, number in (("first", 1), ("second", 2)):
        named |= {f"{half}.norm": f"ffn{number}_layer_norm", f"{half}.up": f"ffn{number}.intermediate_dense"}
        named |= {f"{half}.down": f"ffn{number}.output_dense"}
    named |= {
        "attention.norm": "self_attn_layer_norm",
        "attention.out": "self_attn.linear_out",
        "norm": "final_layer_norm",
    }
    named |= {"convolution.norm": "conv_module.layer_norm", "convolution.norm2": "conv_module.batch_norm"}
    own = {}
    for to, name in named.items():
        own |= {f"{to}.{n.removeprefix(name + '.')}": t for n, t in state.items() if n.startswith(name + ".")}
    for kind in ("weight", "bias"):
        own[f"attention.qkv.{kind}"] = torch.cat([state[f"self_attn.linear_{n}.{kind}"] for n in "qkv"])
    own["attention.distance.weight"] = state["self_attn.linear_pos.weight"]
    own["attention.of_content"], own["attention.of_distance"] = (
        state["self_attn.pos_bias_u"],
        state["self_attn.pos_bias_v"],
    )
    own["convolution.gated.weight"] = state["conv_module.pointwise_conv1.weight"][:, :, 0]
    own["convolution.out.weight"] = state["conv_module.pointwise_conv2.weight"][:, :, 0]
    own["convolution.deep.weight"] = state["conv_module.depthwise_conv.weight"]
    ours.load_state_dict(own)
    x = torch.randn(2, 7, 16)
    places = reference.Wav2Vec2ConformerRelPositionalEmbedding(config)(x)
    with torch.no_grad():
        wanted = theirs(x, relative_position_embeddings=places)
        found = ours(x, None, None, waves(7, 16, x.device))
    torch.testing.assert_close(waves(7, 16, x.device), places[0])
    torch.testing.assert_close(found, wanted[0] if isinstance(wanted, tuple) else wanted, rtol=1e-4, atol=1e-5)


def decoder_and_target(**options: Any) -> tuple[Any, Any, Cells]:
    from dapeng.nn.features import Widths
    from dapeng.nn.tables import Tables

    torch.manual_seed(0)
    column: Any = fitted("text", "y", target=True, decoder={"type": "ctc", "dropout": 0.0, **options})
    decoder = column.options.decoder.build(column, Widths(tokens=8, seconds=0.02), Tables(), None)
    return column, decoder, batch_of({}, {"y": column})["y"]


def features_of(rows: int, frames: int) -> Any:
    from dapeng.nn.features import Features

    torch.manual_seed(1)
    mask = torch.arange(frames) < torch.linspace(frames // 2, frames, rows).long()[:, None]
    return Features(tokens=torch.randn(rows, frames, 8), mask=mask)


def test_the_loss_is_a_sum_a_row_equal_to_torchs_and_to_the_plain_recursion() -> None:
    _, decoder, target = decoder_and_target()
    features = features_of(8, 60)
    loss = decoder.loss(features, target)
    scores, mask = decoder.scores(features)
    for row in range(8):
        text = target["ids"][row][target["mask"][row]][1:-1].tolist()
        length = int(mask[row].sum())
        if target.present is not None and not target.present[row]:
            assert loss[row] == 0
            continue
        plain = -log_probability(scores[row, :length].detach().double().numpy(), text, decoder.blank)
        if math.isinf(plain):
            assert loss[row] == 0
            continue
        assert float(loss[row].detach()) == pytest.approx(plain, rel=1e-4)
        one = F.ctc_loss(scores[row, :length], torch.tensor(text), [length], [len(text)], decoder.blank, "sum")
        torch.testing.assert_close(loss[row], one)
    loss.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in decoder.parameters())


def test_padding_and_batching_change_nothing_of_what_is_written() -> None:
    _, decoder, _ = decoder_and_target()
    features = features_of(8, 40)
    together = decoder.eval().predict(features, 8)
    for row in range(8):
        length = int(features.mask[row].sum())
        from dapeng.nn.features import Features

        alone = decoder.predict(Features(tokens=features.tokens[row : row + 1, :length]), 1)
        torch.testing.assert_close(alone["ids"][0], together["ids"][row])
        torch.testing.assert_close(alone["times"][0], together["times"][row])


def test_the_best_path_is_that_of_a_plain_loop() -> None:
    torch.manual_seed(0)
    scores, mask = torch.randn(20, 9, 4), torch.arange(9) < torch.randint(0, 10, (20,))[:, None]
    ids, frames = best_path(scores, mask, 0, 3, 6)
    for row in range(20):
        text, spans, before = [], [], 0
        for at in range(int(mask[row].sum())):
            label = int(scores[row, at].argmax())
            if label and label == before:
                spans[-1][1] = at + 1
            elif label:
                text.append(label)
                spans.append([at, at + 1])
            before = label
        wanted = ([*text, 3, *[0] * 6])[:6]
        assert ids[row].tolist() == wanted
        assert frames[row, : len(text[:6])].tolist() == spans[:6]


def test_a_search_that_follows_every_text_finds_the_likeliest_of_all() -> None:
    draw = np.random.default_rng(0)
    for _ in range(10):
        scores = np.log(draw.dirichlet(np.ones(3), 5))
        texts = [t for size in range(6) for t in itertools.product([1, 2], repeat=size)]
        best = max(texts, key=lambda t: log_probability(scores, t, 0))
        found, frames, score = prefix_search(scores, 0, 200, least=-math.inf)
        assert found == best
        assert score == pytest.approx(log_probability(scores, best, 0))
        assert list(frames) == sorted(set(frames))


def test_silence_is_no_text() -> None:
    scores = np.log(np.full((6, 4), 0.01))
    scores[:, 0] = math.log(0.97)
    assert prefix_search(scores, 0, 8)[0] == ()
    ids, _ = best_path(torch.from_numpy(scores)[None], torch.ones(1, 6, dtype=torch.bool), 0, 2, 4)
    assert ids.tolist() == [[2, 0, 0, 0]]
    column, decoder, _ = decoder_and_target()
    assert column.decode({"ids": ids.numpy()}) == [""]
    nothing = features_of(2, 5)
    from dapeng.nn.features import Features

    gone = decoder.eval().predict(Features(tokens=nothing.tokens, mask=torch.zeros(2, 5, dtype=torch.bool)), 2)
    assert column.decode({k: v.numpy() for k, v in gone.items()}) == ["", ""]


def test_n_grams_say_the_same_of_one_token_and_of_all_that_may_follow() -> None:
    draw = np.random.default_rng(0)
    texts = [[1, *draw.integers(3, 9, size=draw.integers(1, 12)).tolist(), 2] for _ in range(50)]
    tokens = np.array([t for text in texts for t in text])
    before = np.concatenate([np.arange(len(t)) for t in texts])
    model = KneserNey.counted(tokens, before, 3, 9)
    every = model.probabilities(tokens, before)
    for at in range(60):
        context = tokens[at - before[at] : at]
        if len(context):
            assert model.following(context.tolist())[tokens[at]] == pytest.approx(every[at])
            assert model.following(context.tolist())[2:].sum() == pytest.approx(1.0, abs=0.02)


def test_a_language_model_chooses_between_texts_that_sound_alike() -> None:
    def follows(text: tuple[int, ...]) -> np.ndarray:
        return np.log([1e-9, 0.9, 0.1]) if not text else np.log([1e-9, 0.5, 0.5])

    scores = np.log([[0.02, 0.48, 0.5]])
    assert prefix_search(scores, 0, 4)[0] == (2,)
    assert prefix_search(scores, 0, 4, follows, weight=0.5)[0] == (1,)


def test_errors_of_words_are_jiwers_with_their_parts() -> None:
    jiwer = pytest.importorskip("jiwer")
    draw = random.Random(0)
    for _ in range(300):
        true = [draw.choice("abcd") for _ in range(draw.randint(1, 9))]
        said = [draw.choice("abcd") for _ in range(draw.randint(0, 9))]
        wanted = jiwer.process_words(" ".join(true), " ".join(said))
        assert edits(true, said) == (wanted.substitutions, wanted.deletions, wanted.insertions)
