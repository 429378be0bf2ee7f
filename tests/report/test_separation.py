"""The two counts in tables, metrics and tags; what leaks is called so everywhere."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.report.separation import (
    label_use,
    render_separation,
    separation_lines,
    separation_metrics,
    separation_rows,
    separation_tags,
)
from sceneshift.selection.views import Reads
from sceneshift.splits.blocks import block_split
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.split import everything_split, mask_split, random_split


@pytest.fixture
def pair(make_scene):
    return ScenePair(name="a-b", sources=(make_scene(0),), target=make_scene(1, name="b").without_labels())


def test_a_random_split_is_reported_to_leak_everywhere(pair):
    split = random_split(pair.source, train_fraction=0.5, patch_size=5, seed=0)
    rows = separation_rows(pair, split)
    near, total = split.separation(), len(split.validation)
    assert rows == [
        {
            "pair": "a-b",
            "side": "validation",
            "split": "random",
            "guard": 0,
            "leaks": True,
            "patch size": 5,
            "pixels": total,
            "inside a training patch": near.num_inside_training_patch,
            "with an overlapping patch": near.num_overlapping_patches,
            "not scored": [],
        }
    ]
    assert near.num_inside_training_patch > 0
    text = render_separation(rows)
    share = f"{near.num_inside_training_patch} ({100 * near.num_inside_training_patch / total:.1f} %)"
    assert f"| a-b | validation | random, LEAKS | 5 | {total} | {share} |" in " ".join(text.split())
    assert "\nLEAKS: " in text
    counts = [str(count) for count in (5, total, near.num_inside_training_patch, near.num_overlapping_patches)]
    told = separation_tags(rows)["separation.a-b.validation"]
    assert told.startswith("random, LEAKS; ")
    assert re.findall(r"\d+", told) == counts
    assert separation_lines(rows) == [f"a-b, validation pixels: {told}."]
    assert separation_metrics(rows) == {
        "separation/a-b/validation/pixels": total,
        "separation/a-b/validation/inside_training_patch": near.num_inside_training_patch,
        "separation/a-b/validation/overlapping_patch": near.num_overlapping_patches,
    }


def test_blocks_do_not_leak(pair):
    rows = separation_rows(pair, block_split(pair.source, patch_size=5, seed=0))
    assert (rows[0]["leaks"], rows[0]["inside a training patch"], rows[0]["guard"]) == (False, 0, 2)
    assert "LEAKS" not in render_separation(rows) + str(separation_tags(rows))
    assert "| blocks, guard 2 | 5 |" in " ".join(render_separation(rows).split())


def test_classes_left_out_of_a_score_are_named(pair):
    split = replace(block_split(pair.source, patch_size=5, seed=0), scored_classes=(1,))
    rows = separation_rows(pair, split)
    assert rows[0]["not scored"] == ["soil", "water"]
    assert re.search(r"\n\na-b, validation pixels: .*: soil, water\.\n", render_separation(rows))
    assert separation_lines(rows)[0].endswith(": soil, water.")


def test_masks_leak_where_test_pixels_are_inside_training_patches(pair):
    pixels = np.flatnonzero(pair.source.labels)
    mixed = mask_split(pair.source, train=pixels[::2], validation=pixels[1::2], patch_size=5, seed=0)
    far = mask_split(pair.source, train=pixels[:200], validation=pixels[-200:], patch_size=5, seed=0)
    assert [separation_rows(pair, split)[0]["leaks"] for split in (mixed, far)] == [True, False]


def test_within_a_scene_both_sides_are_reported_and_without_any_there_is_no_table(tiny_scene, pair):
    test = block_split(tiny_scene, patch_size=5, seed=0)
    labels = np.where(np.isin(np.arange(tiny_scene.labels.size), test.train), tiny_scene.labels.ravel(), 0)
    source = replace(tiny_scene, labels=labels.reshape(tiny_scene.shape))
    inside = ScenePair(name="tiny", sources=(source,), target=tiny_scene.without_labels(), test_split=test)
    rows = separation_rows(inside, random_split(source, train_fraction=0.5, patch_size=5, seed=0))
    assert [(row["side"], row["leaks"]) for row in rows] == [("test", False), ("validation", True)]
    assert [row["side"] for row in separation_rows(inside, everything_split(source, 5))] == ["test"]
    assert separation_rows(pair, everything_split(pair.source, 5)) == []
    assert render_separation([]) == ""


def test_what_labels_were_used_for_is_reported_of_what_was_done() -> None:
    across, by_masks, stratified = label_use(None), label_use("masks"), label_use("blocks")
    assert len({across, by_masks, stratified}) == 3
    assert label_use("random") == label_use("fields") == stratified
    assert "stratified" in stratified


def test_what_a_strategy_read_of_the_target_is_in_the_sentence():
    nothing, pixels, labels = (label_use(None, reads) for reads in Reads)
    assert nothing == label_use(None)
    assert pixels.startswith(nothing)
    assert len({nothing, pixels, labels}) == 3
    assert nothing not in labels
    assert label_use("blocks", Reads.PIXELS).startswith(label_use("blocks"))
