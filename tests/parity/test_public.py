"""Networks with public weights are those of transformers: same outputs, same gradients, and their folders load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dapeng.columns.image import Image
from dapeng.columns.text import Text
from dapeng.core.kinds import encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.tables import Tables

transformers = pytest.importorskip("transformers", reason="compares with the package transformers")
FRACTION = 1 / 255


class Pictures:
    """A column of pictures of one size whose bytes are read as they are (mean 0, deviation 1)."""

    def __init__(self, channels: int, side: int):
        self.name, self.shape = "x", (channels, side, side)
        self.normalisation = ([0.0] * channels, [1.0] * channels)


class Words:
    """A column of token ids."""

    name = domain = "x"
    max_length = 12

    def __init__(self, size: int):
        self.size = size


def started(tag: str, folder: Path, column: object, **options) -> Encoder:
    asked = encoders.members()[tag](weights=str(folder), **options).resolved()
    encoder = asked.build([column], Tables())
    asked.start(encoder)
    return encoder.eval()


def same_gradients(own: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert own.keys() == theirs.keys()
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def saved_gradients(theirs: torch.nn.Module, folder: Path) -> dict[str, Tensor]:
    """Their gradients by the names that their files use."""
    from safetensors.torch import load_file

    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    theirs.save_pretrained(folder / "gradients")
    return load_file(folder / "gradients" / "model.safetensors")


def pixels(channels: int, side: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, channels, side, side), dtype=np.uint8))


@pytest.mark.parametrize(("depth", "blocks", "layer"), [(18, (2, 2, 2, 2), "basic"), (50, (3, 4, 6, 3), "bottleneck")])
def test_resnet_is_that_of_transformers_and_reads_its_folder(
    tmp_path: Path, depth: int, blocks: tuple, layer: str
) -> None:
    torch.manual_seed(0)
    widths = [8, 16, 32, 64] if layer == "basic" else [32, 64, 128, 256]
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=widths, depths=list(blocks), layer_type=layer)
    theirs = transformers.ResNetModel(config).eval()
    for name, buffer in theirs.named_buffers():  # statistics that are not those of a fresh norm
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5) if "var" in name else buffer.normal_()
    theirs.save_pretrained(tmp_path)
    ours = started("resnet", tmp_path, Pictures(3, 64))
    assert ours.public_state().keys() <= ours.state_dict().keys()
    x = pixels(3, 64)
    features = ours(Cells({"pixels": x}, None))
    normal = ours.embed(Cells({"pixels": x}, None))
    found = theirs(normal, output_hidden_states=True)
    torch.testing.assert_close(features.pooled, found.pooler_output[:, :, 0, 0], rtol=1e-4, atol=1e-5)
    for own, other in zip(features.maps, found.hidden_states[1:], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
    features.pooled.square().sum().backward()
    found.pooler_output.square().sum().backward()
    own = gradients(ours)
    given = encoders.members()["resnet"](depth=depth).translated(saved_gradients(theirs, tmp_path))
    same_gradients(own, {n: t for n, t in given.items() if n in own})


def test_resnet_reads_the_names_of_torchvision_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    theirs = encoders.members()["resnet"](stem="large").build([Pictures(3, 64)], Tables())
    state = {n: t.contiguous() for n, t in theirs.public_state().items()}
    save_file({**state, "fc.weight": torch.zeros(5, 512)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    ours = started("resnet", tmp_path, Pictures(3, 64))
    for name, tensor in ours.public_state().items():
        assert torch.equal(tensor, state[name])


def test_vit_is_that_of_transformers_and_reads_its_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    config = transformers.ViTConfig(**shape, image_size=32, patch_size=8, hidden_dropout_prob=0.0)
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    torch.nn.init.normal_(theirs.embeddings.cls_token)
    torch.nn.init.normal_(theirs.embeddings.position_embeddings)
    theirs.save_pretrained(tmp_path)
    ours = started("vit", tmp_path, Pictures(3, 32), dropout=0.0)
    cells = Cells({"pixels": pixels(3, 32)}, None)
    features, found = ours(cells), theirs(ours.embed(cells))
    torch.testing.assert_close(features.pooled, found.last_hidden_state[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.tokens, found.last_hidden_state[:, 1:], rtol=1e-4, atol=1e-5)
    features.pooled.square().sum().backward()
    found.last_hidden_state[:, 0].square().sum().backward()
    options = encoders.members()["vit"](weights=str(tmp_path)).resolved()
    same_gradients(gradients(ours), options.translated(saved_gradients(theirs, tmp_path)))


def test_vit_stretches_its_positions_to_other_pictures_as_transformers_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    theirs = transformers.ViTModel(transformers.ViTConfig(**shape, image_size=32, patch_size=8)).eval()
    torch.nn.init.normal_(theirs.embeddings.position_embeddings)
    theirs.save_pretrained(tmp_path)
    ours = started("vit", tmp_path, Pictures(3, 48))
    cells = Cells({"pixels": pixels(3, 48)}, None)
    found = theirs(ours.embed(cells), interpolate_pos_encoding=True)
    torch.testing.assert_close(ours(cells).tokens, found.last_hidden_state[:, 1:], rtol=1e-4, atol=1e-4)


def test_bert_is_that_of_transformers_and_reads_its_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    config = transformers.BertConfig(vocab_size=50, **shape, max_position_embeddings=20, hidden_dropout_prob=0.0)
    theirs = transformers.BertModel(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = started("bert", tmp_path, Words(50), dropout=0.0, pool="pooler")
    ids = torch.randint(1, 50, (3, 12))  # theirs gives the padding no gradient
    mask = torch.arange(12)[None] < torch.tensor([[12], [7], [1]])
    features = ours(Cells({"ids": ids, "mask": mask}, None))
    found = theirs(ids, attention_mask=mask.long())
    torch.testing.assert_close(features.pooled, found.pooler_output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.tokens[mask], found.last_hidden_state[mask], rtol=1e-4, atol=1e-5)
    features.pooled.square().sum().backward()
    found.pooler_output.square().sum().backward()
    options = encoders.members()["bert"](weights=str(tmp_path)).resolved()
    own = {**gradients(ours), "table": ours.table.module.weight.grad}
    same_gradients(own, options.translated(saved_gradients(theirs, tmp_path)))


@pytest.mark.parametrize(
    ("tag", "options", "side", "classes", "wanted"),
    [
        ("alexnet", {}, 224, 1000, 61_100_840),
        ("vgg", {"depth": 16, "norm": "none"}, 224, 1000, 138_357_544),
        ("resnet", {"depth": 18}, 224, 1000, 11_689_512),
        ("resnet", {"depth": 34}, 224, 1000, 21_797_672),
        ("resnet", {"depth": 50}, 224, 1000, 25_557_032),
        ("vit", {"shape": "base"}, 224, 1000, 86_567_656),
        ("efficientnet", {}, 224, 1000, 4_652_008),
    ],
)
def test_parameters_of_a_picture_network_are_those_of_its_paper(tag, options, side, classes, wanted) -> None:
    with torch.device("meta"):
        encoder = encoders.members()[tag](**options).build([Pictures(3, side)], Tables())
        head = torch.nn.Linear(encoder.widths.pooled or 0, classes)
    assert sum(p.numel() for m in (encoder, head) for p in m.parameters()) == wanted


def test_parameters_of_bert_base_are_those_of_its_paper() -> None:
    tables = Tables()
    with torch.device("meta"):
        options = encoders.members()["bert"](embed_dim=768, num_layers=12, num_heads=12, pool="pooler")
        encoder = options.build([Words(30_522)], tables)
    assert sum(p.numel() for m in (encoder, tables) for p in m.parameters()) == 109_482_240


def test_an_encoder_reads_the_folder_s_size_and_channels_into_its_column(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=24, patch_size=8
    )
    transformers.ViTModel(config).save_pretrained(tmp_path)
    options = encoders.members()["vit"](weights=str(tmp_path)).resolved()
    summary = Image(encoder=options).summary(False)
    state = summary.result()
    assert (state["height"], state["width"], state["channels"]) == (24, 24, 3)


def test_a_text_column_takes_the_tokeniser_that_lies_beside_the_weights(tmp_path: Path) -> None:
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film", "##s", "bad"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab))
    fast = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    fast.save_pretrained(tmp_path)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(vocab), **shape)).save_pretrained(tmp_path)
    import pyarrow as pa

    options = Text(encoder=encoders.members()["bert"](weights=str(tmp_path)).resolved())
    cells = pa.array(["Good films", "bad [SEP] film", None])
    summary = options.summary(False)
    summary.add(cells)
    column = options.fitted("x", summary.result(), False)
    encoded = column.encode(cells)
    first, second = np.split(encoded.tensors["ids"], np.cumsum(encoded.lengths)[:-1])[:2]
    assert first.tolist() == fast("good films")["input_ids"]
    assert second.tolist().count(vocab.index("[SEP]")) == 1, "a special token in a user's text is text"
    assert column.tokens("Good films") == ["[CLS]", "good", "film", "s", "[SEP]"]
