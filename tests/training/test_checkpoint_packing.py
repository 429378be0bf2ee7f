"""A packed state: the same values, in few tensors."""

import io
from typing import Any

import torch
from torch import Tensor

from sceneshift.training.checkpoint import pack, unpack


def state() -> dict[str, Any]:
    torch.manual_seed(0)
    weight = torch.rand(2, 3)
    return {
        "modules": {"weight": weight, "seen": torch.tensor(7), "transposed": weight.T, "same": weight},
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0)}, 5: {}},
            "groups": [{"betas": (0.9, 0.999), "fused": None}],
        },
        "draws": torch.arange(4, dtype=torch.uint8),
        "halves": torch.rand(3).bfloat16(),
        "none": torch.empty(0, 4),
        "nothing": torch.empty(2, 0),
        "large": 2**100,
        "name": "west",
    }


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name, value in one.items():
            assert_same(value, other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert one == other


def through_a_file(packed: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(packed, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def test_a_state_comes_back_as_it_went() -> None:
    assert_same(unpack(through_a_file(pack(state()))), state())


def test_there_is_one_tensor_a_dtype_and_nothing_is_kept_twice() -> None:
    values = pack(state())["values"]
    assert {dtype: len(tensor) for dtype, tensor in values.items()} == {
        torch.float32: 6 + 6 + 1,  # the transposed weight is another arrangement, the same one is not
        torch.int64: 1,
        torch.uint8: 4,
        torch.bfloat16: 3,
    }


def test_a_tensor_that_comes_back_does_not_keep_the_others() -> None:
    weight = unpack(pack(state()))["modules"]["weight"]
    assert weight.untyped_storage().nbytes() == 24


def test_a_state_that_was_written_unpacked_is_read() -> None:
    assert_same(unpack(state()), state())
