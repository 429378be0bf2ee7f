from dataclasses import fields

import pytest

from sceneshift.commands.predict_arguments import PredictArgs
from sceneshift.errors import InvalidInputError

NEEDED = {"model": "models:/m@champion", "scene": "indian_pines", "out": "maps"}


def test_the_command_line_is_kept() -> None:
    """Renaming a flag breaks scripts; add here what is added there."""
    assert [field.name for field in fields(PredictArgs)] == [
        "model",
        "scene",
        "out",
        "format",
        "labels",
        "class_names",
        "cut_to_overlap",
        "label_values",
        "unlabelled_values",
        "wavelengths_nm",
        "probabilities",
        "confidence",
        "tile_mib",
        "device",
        "threads",
        "accept_values",
        "scale",
        "cube_variable",
        "data_dir",
        "catalogue",
        "storage_path",
        "overwrite",
    ]
    assert PredictArgs(**NEEDED).format == ("png",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": ()}, "--format"),
        ({"format": ("png", "png")}, "each once"),
        ({"class_names": ("a", "b")}, "--labels"),
        ({"class_names": ("a", "b"), "labels": "own"}, "leave out --class-names"),
        ({"label_values": (1, 2), "class_names": ("a", "b")}, "--labels"),
        (
            {"unlabelled_values": (255,), "labels": "own"},
            r"--unlabelled-values.*--labels",
        ),
        ({"label_values": (1, 2), "labels": "l.png"}, "--label-values: 2 numbers for 0 names; expected --class-names"),
        ({"wavelengths_nm": (0.4, 0.5)}, r"--wavelengths-nm.*up to 0.5"),
        ({"tile_mib": 0}, "--tile-mib 0"),
        ({"threads": 0}, "--threads 0"),
        ({"cut_to_overlap": True}, r"--cut-to-overlap.*--labels"),
        ({"cut_to_overlap": True, "labels": "own"}, r"--cut-to-overlap.*--labels"),
        ({"scale": 0}, "--scale 0"),
        ({"scale": float("nan")}, "--scale nan"),
        ({"storage_path": "s3://bucket"}, "--storage-path"),
    ],
)
def test_what_can_not_be_is_refused_by_its_flag(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        PredictArgs(**NEEDED, **changes)
