import pytest

from sceneshift.commands.predict_arguments import PredictArgs
from sceneshift.errors import InvalidInputError

NEEDED = {"model": "models:/m@champion", "scene": "indian_pines", "out": "maps"}


def test_the_command_line_is_kept() -> None:
    """Renaming a flag breaks scripts; add here what is added there."""
    assert list(PredictArgs.__dataclass_fields__) == [
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
        ({"format": ()}, "--format : expected at least one"),
        ({"format": ("png", "png")}, "each once"),
        ({"class_names": ("a", "b")}, "give --labels as well"),
        ({"class_names": ("a", "b"), "labels": "own"}, "leave out --class-names"),
        ({"label_values": (1, 2), "class_names": ("a", "b")}, "give --labels as well"),
        (
            {"unlabelled_values": (255,), "labels": "own"},
            "--unlabelled-values says what numbers in the file of --labels",
        ),
        ({"label_values": (1, 2), "labels": "l.png"}, "--label-values: 2 numbers for 0 names; expected --class-names"),
        ({"wavelengths_nm": (0.4, 0.5)}, "--wavelengths-nm up to 0.5: these look like micrometres"),
        ({"tile_mib": 0}, "--tile-mib 0"),
        ({"threads": 0}, "--threads 0"),
        ({"cut_to_overlap": True}, "--cut-to-overlap cuts the file of --labels"),
        ({"cut_to_overlap": True, "labels": "own"}, "--cut-to-overlap cuts the file of --labels"),
        ({"scale": 0}, "--scale 0: expected a positive number"),
        ({"scale": float("nan")}, "--scale nan: expected a positive number"),
        ({"storage_path": "s3://bucket"}, "expected a local directory"),
    ],
)
def test_what_can_not_be_is_refused_by_its_flag(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        PredictArgs(**NEEDED, **changes)
