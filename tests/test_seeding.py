"""Seeds derived from names: frozen values, so that no release moves a study's random numbers unawares."""

import hashlib
import itertools

import pytest

from sceneshift.seeding import derive_seed, trial_seed


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((0,), "int:0"),
        ((0, "west-east"), "int:0\x1fstr:west-east"),
        ((7, "blocks", 63), "int:7\x1fstr:blocks\x1fint:63"),
    ],
)
def test_a_seed_is_the_first_63_bits_of_the_digest_of_its_parts(parts: tuple[int | str, ...], text: str) -> None:
    bits = bin(int(hashlib.sha256(text.encode()).hexdigest(), 16))[2:].zfill(256)
    assert derive_seed(*parts) == int(bits[:63], 2)


def test_frozen_values() -> None:
    assert derive_seed(0) == 3_696_793_467_068_528_757
    assert derive_seed(0, "method") == 5_890_455_614_253_251_466


def test_a_number_and_its_text_differ() -> None:
    assert derive_seed(1) != derive_seed("1")


def test_where_a_part_ends_matters() -> None:
    seeds = {derive_seed("ab", "c"), derive_seed("a", "bc"), derive_seed("abc"), derive_seed("c", "ab")}
    assert len(seeds) == 4


def test_seeds_are_distinct_and_fill_the_range() -> None:
    seeds = [derive_seed(*parts) for parts in itertools.product(range(40), ("method", "batches", "thin"))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # the highest bit is used
    assert sum(seed % 2 for seed in seeds) in range(40, 81)  # and the lowest


def test_a_trial_s_seed_follows_from_study_seed_and_number() -> None:
    assert trial_seed(3, 7) == derive_seed(3, "trial", 7)
    assert len({trial_seed(study, number) for study in range(9) for number in range(9)}) == 81
