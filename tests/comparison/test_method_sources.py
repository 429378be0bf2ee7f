"""The hash of a method's own sources: code counts, words don't, and other methods' code does not."""

import shutil

import pytest

from sceneshift.comparison.method_sources import PACKAGE, method_sources_hash
from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import METHODS


@pytest.fixture
def package(tmp_path):
    copy = tmp_path / "sceneshift"
    for room in ("methods", "networks"):
        shutil.copytree(PACKAGE / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def changed(package):
    """The methods whose hash a change of a file changes."""

    def change(path, old, new, *, methods=tuple(METHODS)):
        before = {name: method_sources_hash(name, package=package) for name in methods}
        text = (package / path).read_text()
        assert old in text
        (package / path).write_text(text.replace(old, new, 1))
        after = {name: method_sources_hash(name, package=package) for name in methods}
        return {name for name in methods if before[name] != after[name]}

    return change


def test_a_copy_of_the_code_has_the_hash_of_the_code(package):
    hashes = {name: method_sources_hash(name) for name in METHODS}
    assert hashes == {name: method_sources_hash(name, package=package) for name in METHODS}
    assert len(set(hashes.values())) == len(METHODS)
    assert all(len(found) == 16 for found in hashes.values())


def test_a_change_concerns_the_method_and_what_is_made_of_it(changed):
    assert changed("methods/s2vnet.py", "@dataclass", "SOMETHING = 1\n\n\n@dataclass") == {"s2vnet"}


def test_a_change_of_a_network_concerns_methods_that_import_it_however_far(changed):
    assert changed("networks/s2vnet/unmixing.py", "import torch", "import torch\nSOMETHING = 1") == {"s2vnet"}
    assert changed("networks/final_layer.py", "from torch", "SOMETHING = 1\nfrom torch") < set(METHODS)


def test_a_change_of_the_base_of_all_methods_concerns_all(changed):
    assert changed("methods/method.py", "import math", "import math\n\nSOMETHING = 1\n") == set(METHODS)


def test_words_and_layout_don_t_count(changed, package):
    text = (package / "methods" / "s2vnet.py").read_text()
    docstring = text.split('"""')[1]
    assert changed("methods/s2vnet.py", docstring, "Other words.\n", methods=["s2vnet"]) == set()
    assert (
        changed("methods/s2vnet.py", "class S2VNetConfig", "# a remark\n\n\n\nclass S2VNetConfig", methods=["s2vnet"])
        == set()
    )
    words = '"""All modules by name, for checkpoints."""'
    assert changed("methods/method.py", words, '"""Modules."""', methods=["rbf_svm"]) == set()


def test_an_unknown_method_is_refused():
    with pytest.raises(InvalidInputError):
        method_sources_hash("s3vnet")
