"""Outputs that are pictures, boxes, masks, volumes, sounds, faults or pairs, in every form: exported and answering alike, or refused in words."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sense_products import CASES, product  # type: ignore[import-not-found]

from dapeng.compress.methods.int8 import Int8
from dapeng.compress.methods.int8_dynamic import Int8Dynamic
from dapeng.core.errors import RunError
from dapeng.core.kinds import exporters
from dapeng.data.batch import Batch
from dapeng.export.flat import Flat, batches_of, eager, example

NEEDS = {"volume_mask": "nibabel", "video": "av"}
"""Libraries without which a case can't be made."""
MADE = ("speech", "wavenet")
"""Found step by step: no graph of tensors holds the way."""
NOTHING_LEARNT = ("boxes", "letterboxed boxes")
"""Of networks that have learnt nothing, rounding decides which of many like boxes stay: `tests/pictures/test_detector.py` has those that have."""


def made(name: str) -> tuple[Any, Any]:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return product(name)


def written(name: str, form: str, folder: Path) -> dict[str, Any]:
    """As `dapeng export` does it."""
    case, rows = made(name)
    member = exporters.members()[form]()
    if not member.writes:
        case.refuse_written("exporting", pointed=member.tensors)
    return member.export(case, folder / "export", rows)


CHEAP = [n for n in CASES if n not in MADE and n not in NOTHING_LEARNT]


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_it_leaves_as_a_program_that_answers_alike_for_any_number_of_rows(name: str, form: str, tmp_path: Path) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="exports by the extra `export`")
        pytest.importorskip("onnxscript", reason="exports by the extra `export`")
    found = written(name, form, tmp_path)
    assert found["largest_difference"] < 1e-3
    assert Path(found["file"]).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["video", "views"])
def test_a_program_says_what_the_run_says_of_all_clips_and_views_together(name: str, tmp_path: Path) -> None:
    case, rows = made(name)
    wanted = case.predict(rows).tensors["kind"]["probabilities"]
    batch = batches_of(case, rows, (len(wanted),))[0]
    program = torch.export.load(written(name, "torch", tmp_path)["file"]).module()
    found = program(*Flat(case, batch).arguments(batch))[0].detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    case.model.views = []  # that more than the first was looked at can be seen
    assert np.abs(case.predict(rows).tensors["kind"]["probabilities"] - wanted).max() > 1e-3


@pytest.mark.parametrize("form", ["torch", "onnx", "standalone"])
@pytest.mark.parametrize("name", MADE)
def test_sounds_that_are_made_step_by_step_are_refused_with_what_is_there(name: str, form: str, tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"clip is a sound that is made: exporting such is not there yet\n.*serve"
    ) as found:
        written(name, form, tmp_path)
    assert found.value.exit_status == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["flow", "dcgan", "boxes", "mask", "patch_memory", "match"])
def test_outputs_that_are_more_than_labels_and_numbers_have_no_standalone_form(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no standalone form\n  hint: --format onnx for its tensors") as found:
        written(name, "standalone", tmp_path)
    assert found.value.exit_status == 2
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_volume_has_no_reader_of_its_own_yet(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no standalone form"):
        written("volume_mask", "standalone", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conformer", "video", "views", "kind of two sizes"])
def test_what_is_read_has_a_standalone_form(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="exports by the extra `export`")
    found = written(name, "standalone", tmp_path)
    assert found["largest_difference"] < 1e-3
    assert found["rows_compared"] > 0


@pytest.mark.parametrize("form", ["gguf", "transformers"])
@pytest.mark.parametrize("name", ["flow", "boxes", "mask", "match", "patch_memory"])
def test_forms_for_language_models_say_what_they_hold(name: str, form: str, tmp_path: Path) -> None:
    if form == "gguf":
        pytest.importorskip("gguf", reason="GGUF files are written by the extra `gguf`")
    with pytest.raises(RunError, match=r"language model.*\n  hint: ") as found:
        written(name, form, tmp_path)
    assert found.value.exit_status == 2


def answers(case: Any, batch: Batch) -> tuple[Flat, list[np.ndarray]]:
    flat = Flat(case, batch)
    return flat, eager(flat, batch)


@pytest.mark.parametrize("method", [Int8, Int8Dynamic])
@pytest.mark.parametrize("name", [n for n in CASES if n not in MADE])
def test_a_compressed_network_answers_nearly_alike_and_comes_back_from_its_weights(name: str, method: Any) -> None:
    case, rows = made(name)
    batch = example(case, rows)
    _, before = answers(case, batch)
    small = copy.deepcopy(case.model)
    done = method().apply(small)
    assert done["int8_values"] > 0
    case.model = small
    flat, after = answers(case, batch)
    for name_of, a, b in zip(flat.outputs, before, after):
        assert np.isfinite(b).all()
        if name_of.tensor not in ("codes", "boxes", "scores"):  # of networks that have learnt nothing
            spread = max(1.0, float(np.ptp(a)))
            assert np.abs(a - b).mean() < 0.05 * spread, name_of.name
    again = copy.deepcopy(small)
    with torch.no_grad():
        for tensor in again.state_dict().values():
            tensor.zero_()
    again.load_state_dict(small.state_dict())
    case.model = again
    for a, b in zip(answers(case, batch)[1], after):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MADE)
def test_networks_of_sounds_are_not_compressed_yet(name: str) -> None:
    case, _ = made(name)
    with pytest.raises(RunError, match="clip is a sound that is made: compressing such is not there yet"):
        case.refuse_written("compressing", pointed=True)
