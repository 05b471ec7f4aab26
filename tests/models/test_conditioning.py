"""Conditioning: rows of several tensors that stay together, whatever is done with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.guidance import Guidance


def rows(count: int) -> Conditioning:
    numbers = torch.arange(count, dtype=torch.float32)
    states = numbers.view(-1, 1, 1).repeat(1, 3, 2)
    return Conditioning({"states": states, "pooled": 10 * numbers[:, None], "guidance": torch.ones(count)})


def test_rows_are_taken_and_joined_together() -> None:
    selected = rows(5)[[3, 1]]
    assert len(selected) == 2
    joined = Conditioning.cat([selected, rows(1), rows(5)[torch.tensor([4])], rows(5)[2:3]])
    assert joined.tensors["states"][:, 0, 0].tolist() == [3, 1, 0, 4, 2]
    assert joined.tensors["pooled"][:, 0].tolist() == [30, 10, 0, 40, 20]


def test_a_row_is_expanded_without_a_copy() -> None:
    one = rows(4)[2:3]
    many = one.expand(3)
    assert {name: tuple(tensor.shape) for name, tensor in many.tensors.items()} == {
        "states": (3, 3, 2),
        "pooled": (3, 1),
        "guidance": (3,),
    }
    assert many.tensors["states"].data_ptr() == one.tensors["states"].data_ptr()
    assert many.tensors["pooled"][:, 0].tolist() == [20, 20, 20]
    assert len(one.expand(0)) == 0


def test_type_and_device_change_for_all_tensors() -> None:
    assert {t.dtype for t in rows(2).to(torch.bfloat16).tensors.values()} == {torch.bfloat16}
    assert {t.device.type for t in rows(2).to("meta").tensors.values()} == {"meta"}


def test_several_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tensors.safetensors"
    save_file({**rows(3).named("text"), **rows(1).named("null"), "moments": torch.zeros(2)}, file)
    tensors = load_file(file)
    assert "text.states" in tensors
    for name, expected in (("text", rows(3)), ("null", rows(1))):
        torch.testing.assert_close(
            Conditioning.from_named(name, tensors).tensors, expected.tensors, rtol=0, atol=0
        )


def test_guidance_is_a_second_branch_or_an_input() -> None:
    text, null = rows(2), rows(1)
    out, second = torch.full((2, 1), 3.0), torch.ones(2, 1)
    free, embedded = Guidance.classifier_free, Guidance.embedded
    assert free.second(text, null, 4.0).tensors["pooled"].tolist() == [[0], [0]]
    assert free.combine(out, second, 4.0).tolist() == [[9], [9]]
    assert (free.gain(4.0), embedded.gain(4.0)) == (4.0, 1.0)
    assert free.conditioning(text, 4.0) is text
    assert embedded.conditioning(text, 4.0).tensors["guidance"].tolist() == [4, 4]
    assert embedded.second(text, null, 4.0).tensors["pooled"].tolist() == [[0], [10]]
    assert embedded.combine(out, second, 4.0) is second
    with pytest.raises(KeyError, match="guidance"):
        Conditioning({"states": torch.zeros(1, 2)}).with_guidance(2.0)
