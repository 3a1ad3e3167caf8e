"""Tiny translators of transformers in a folder (MarianMTModel with MarianTokenizer), for tests."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

READ = ["the cat sat on the mat", "a dog runs in the park", "birds sing zero one two"]
WRITTEN = ["die katze sass auf der matte", "ein hund rennt im park", "voegel singen null eins zwei"]


def pairs(rows: int = 40) -> list[tuple[str, str]]:
    draw = random.Random(0)
    numbers = [draw.choices(range(3), k=draw.randint(1, 2)) for _ in range(rows)]
    return [(" ".join(READ[i] for i in n), " ".join(WRITTEN[i] for i in n)) for n in numbers]


def tokens(path: Path, separate: bool = False) -> int:
    """Write source.spm, target.spm and vocab.json; how many ids there are."""
    import sentencepiece
    import transformers

    path.mkdir(parents=True, exist_ok=True)
    pieces = {}
    for side, texts in (("source", READ), ("target", WRITTEN)):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts * 5), model_prefix=str(path / side), vocab_size=50, hard_vocab_limit=False,
            minloglevel=2,
        )  # fmt: skip
        (path / f"{side}.model").rename(path / f"{side}.spm")
        (path / f"{side}.vocab").unlink()
        library = sentencepiece.SentencePieceProcessor(model_file=str(path / f"{side}.spm"))
        pieces[side] = [library.id_to_piece(i) for i in range(3, library.get_piece_size())]
    lists = [pieces["source"], pieces["target"]] if separate else [pieces["source"] + pieces["target"]]
    lists = [["</s>", "<unk>", "<pad>", ">>de<<", *dict.fromkeys(each)] for each in lists]
    for name, names in zip(("vocab", "target_vocab"), lists):
        (path / f"{name}.json").write_text(json.dumps({n: i for i, n in enumerate(names)}))
    more: dict[str, Any] = (
        {"separate_vocabs": True, "target_vocab_file": str(path / "target_vocab.json")} if separate else {}
    )
    files: Any = [str(path / n) for n in ("source.spm", "target.spm", "vocab.json")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.MarianTokenizer(*files, **more).save_pretrained(path)
    return max(map(len, lists))


def public(path: Path, **settings: Any) -> Path:
    """A translator whose weights are all drawn, the bias of its head included."""
    import torch
    import transformers

    shared = settings.get("share_encoder_decoder_embeddings", True)
    size = tokens(path, not shared)
    config = transformers.MarianConfig(
        **{
            "vocab_size": size, "decoder_vocab_size": size, "d_model": 16, "encoder_layers": 2, "decoder_layers": 1,
            "encoder_attention_heads": 2, "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 40,
            "activation_function": "swish", "scale_embedding": True, "pad_token_id": 2, "eos_token_id": 0,
            "decoder_start_token_id": 2, "forced_eos_token_id": None, "max_position_embeddings": 64, "dropout": 0.0,
            **settings,
        }
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.MarianMTModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.final_logits_bias.add_(torch.randn(1, size))
    model.save_pretrained(path)
    return path


def begun(path: Path, like: bool = False, **more: Any) -> tuple[Any, Any, Any]:
    """The columns and the network as training starts it: what is read, what is written, and both sides."""
    import pyarrow as pa

    from dapeng.columns.text import Text
    from dapeng.core.kinds import decoders, encoders
    from dapeng.core.spec import Spec
    from dapeng.models.build import Choices, fresh_model

    encoder = encoders.members()["transformer"](weights=str(path), dropout=0.0).resolved()
    decoder = decoders.members()["transformer"](weights=str(path), dropout=0.0, **more).resolved()
    read, written = Text(encoder=encoder), Text(decoder=decoder, **({"like": "en"} if like else {}))
    first, last = read.summary(False), written.summary(True)
    first.add(pa.array([e for e, _ in pairs()]))
    last.add(pa.array([d for _, d in pairs()]))
    source = read.fitted("en", first.result(), False)
    state = last.result_like(read, source.state) if like else last.result()  # type: ignore[attr-defined]
    target = written.fitted("de", state, True)
    spec = Spec(inputs={"en": read}, outputs={"de": written})  # type: ignore[arg-type]
    return source, target, fresh_model(spec, {"en": source}, {"de": target}, Choices()).eval()
