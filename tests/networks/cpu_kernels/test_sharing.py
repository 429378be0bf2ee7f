"""Kernels in torch's threads: the same numbers from any number of them, and errors that come through."""

import ctypes
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from sceneshift.networks.cpu_kernels import pool, rectify, sharing, stem
from sceneshift.networks.cpu_kernels.involve import involve, involve_backward


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def draw(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)


def all_kernels(batch: int) -> dict[str, Tensor]:
    """What every kernel gives for maps whose parts are worth a thread."""
    side = 17
    x, y, grad = draw(batch, 66, side, side), draw(batch, 66, side, side), draw(batch, 66, side, side)
    logits = draw(batch, 9 * 22, side, side)
    affine, lines = torch.randn(8, 66, generator=torch.Generator().manual_seed(0)).split(4)
    reads = torch.randint(0, side**2, (side**2, 8), generator=torch.Generator().manual_seed(0))
    taps, of_stem = (
        draw(4 * batch, 8 * stem.STEM_CHANNELS, side, side),
        draw(32 * batch, stem.STEM_CHANNELS, side, side),
    )
    assert min(t.numel() for t in (x, taps, of_stem)) >= sharing._WORTH_A_THREAD
    out, grad_x = torch.empty_like(x), torch.empty_like(x)
    involve(x, logits, 3, out=out)
    grad_logits = involve_backward(x, logits, grad, 3, grad_x=grad_x)
    pooled, chosen = pool.pool(x)
    grad_pooled = draw(4 * batch, 66, side // 2, side // 2)
    chosen_of_more = chosen.repeat(4, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    return {
        "involve": out,
        "involve_backward x": grad_x,
        "involve_backward logits": grad_logits,
        "moments": rectify.moments(x),
        "rectify": rectify.rectify(x, affine[:2], 2),
        "rectify_sums": rectify.rectify_sums(x, grad, affine[:2]),
        "rectify_backward": rectify.rectify_backward(x, grad, affine[:2], lines[:2]),
        "blend": rectify.blend(x, y, affine),
        "pool": pooled,
        "pool_backward": pool.pool_backward(grad_pooled, chosen_of_more, (4 * batch, 66, side, side)),
        "sum_taps": stem.sum_taps(taps, reads),
        "spread_taps": stem.spread_taps(of_stem, reads),
    }


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    for name, value in first.items():
        if value.dtype == torch.float64:  # sums over places: each thread has its own, added in the end
            torch.testing.assert_close(second[name], value, rtol=1e-12, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")
        else:
            assert torch.equal(second[name], value), name


@pytest.mark.parametrize("batch", [3, 8])
def test_threads_do_not_change_the_result(batch: int, two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    several = all_kernels(batch)
    with monkeypatch.context() as without:
        without.setattr(sharing, "_OPENMP", None)
        one_after_the_other = all_kernels(batch)
    torch.set_num_threads(1)
    alone = all_kernels(batch)
    same(alone, several)
    same(several, one_after_the_other)
    for name, value in several.items():
        assert torch.equal(value, one_after_the_other[name]), name


def test_a_batch_of_fewer_maps_than_threads(two_threads: None) -> None:
    x = draw(1, 66, 29, 29)
    assert x.numel() >= sharing._WORTH_A_THREAD
    logits, out, expected = draw(1, 9 * 22, 29, 29), torch.empty_like(x), torch.empty_like(x)
    involve(x, logits, 3, out=out)
    torch.set_num_threads(1)
    involve(x, logits, 3, out=expected)
    assert torch.equal(out, expected)


@pytest.mark.skipif(sharing._OPENMP is None, reason="torch's OpenMP is none of GNU's interface here")
def test_parts_run_at_the_same_time_in_threads_of_their_own(two_threads: None) -> None:
    meeting = threading.Barrier(2, timeout=30)
    threads = []

    def kernel(part: np.ndarray) -> None:
        meeting.wait()  # for the other part: in one thread it would wait in vain
        threads.append(threading.get_ident())
        part += 1

    numbers = np.zeros(sharing._WORTH_A_THREAD)
    sharing.share(kernel, [numbers])
    assert len(set(threads)) == 2
    assert (numbers == 1).all()


def test_what_is_not_worth_a_thread_is_one_call(two_threads: None) -> None:
    sizes = []
    sharing.share(lambda part: sizes.append(len(part)), [np.zeros(sharing._WORTH_A_THREAD - 1)])
    assert sizes == [sharing._WORTH_A_THREAD - 1]


def test_every_part_has_scratch_of_its_own(two_threads: None) -> None:
    scratches = []
    sharing.share(
        lambda part, rest, scratch: scratches.append((len(part), rest, scratch)),
        [np.zeros(sharing._WORTH_A_THREAD + 1)],
        "rest",
        scratch=lambda: [np.zeros(3)],
    )
    assert sorted(length for length, _, _ in scratches) == [25_000, 25_001]
    assert [rest for _, rest, _ in scratches] == ["rest", "rest"]
    assert not np.shares_memory(scratches[0][2], scratches[1][2])


def raising(error: BaseException) -> Callable[..., None]:
    def kernel(*_: object) -> None:
        raise error

    return kernel


@pytest.mark.parametrize("openmp", [True, False])
@pytest.mark.parametrize("error", [ValueError("in a thread"), KeyboardInterrupt("in a thread")])
def test_an_error_in_a_thread_surfaces(
    error: BaseException, openmp: bool, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not openmp:
        monkeypatch.setattr(sharing, "_OPENMP", None)
    monkeypatch.setattr(rectify, "_moments", raising(error))
    with pytest.raises(type(error), match="in a thread"):
        rectify.moments(draw(8, 66, 17, 17))


@pytest.mark.skipif(sharing._OPENMP is None, reason="torch's OpenMP is none of GNU's interface here")
def test_an_error_in_another_thread_than_the_caller_s_surfaces(two_threads: None) -> None:
    caller = threading.get_ident()
    meeting = threading.Barrier(2, timeout=30)

    def kernel(_: np.ndarray) -> None:
        meeting.wait()
        if threading.get_ident() != caller:
            raise RuntimeError("of a worker")

    with pytest.raises(RuntimeError, match="of a worker"):
        sharing.share(kernel, [np.zeros(sharing._WORTH_A_THREAD)])


def test_without_gnu_s_interface_there_is_no_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherLibrary:
        pass

    monkeypatch.setattr(ctypes, "CDLL", lambda _: OtherLibrary())
    assert sharing._torch_openmp() is None
