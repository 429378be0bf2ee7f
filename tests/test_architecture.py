"""docs/architecture.md is kept true: every name on it can be imported, and it knows every room."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(sceneshift(?:\.\w+)+)`", PAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_on_the_page_can_be_imported(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            assert hasattr(found, attribute), name
            found = getattr(found, attribute)
        return
    pytest.fail(f"{name} can't be imported")


def test_the_page_lists_every_room_and_no_other() -> None:
    rooms = {path.name for path in (ROOT / "platform" / "sceneshift").iterdir() if (path / "__init__.py").exists()}
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert {room for line in table for room in re.findall(r"`(\w+)/`", line.split("|")[1])} == rooms
    assert len(NAMES) > 30


def test_what_is_public_is_what_the_engine_names() -> None:
    import sceneshift.engine as engine

    assert sorted(engine.__all__) == dir(engine)
    for name in engine.__all__:
        assert getattr(engine, name).__name__ == name
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = engine.nothing
