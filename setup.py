"""Adds the search spaces to the package; everything else is in pyproject.toml.

The files of ``search_spaces/`` are there to be edited in a checkout. An installed package has a copy of them, which
``sceneshift tune --copy-space`` writes to the user's folder.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages("platform"), "sceneshift.search_spaces"],
    package_dir={"": "platform", "sceneshift.search_spaces": "search_spaces"},
)
