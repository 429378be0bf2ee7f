"""The hash of a method's own sources, by which a comparison knows the networks that a change of code concerns.

It covers the method's module and all that this imports from the rooms ``methods`` and ``networks``, and what these
import in turn. Docstrings, comments and layout don't count.
"""

import ast
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import sceneshift
from sceneshift.methods.registry import find_method

#: The rooms that are a method's own.
ROOMS = ("sceneshift.methods", "sceneshift.networks")

PACKAGE = Path(sceneshift.__file__).parent


def method_sources_hash(name: str, *, package: Path = PACKAGE) -> str:
    """SHA-256 over the code of a method and of what it is made of, 16 hexadecimal digits.

    Args:
        name: The method's name.
        package: The folder of the package.

    Raises:
        InvalidInputError: No method has that name.
    """
    method = find_method(name)
    module = method.__module__
    # A method may be registered from elsewhere.
    path = _path_of(module, package) if module.startswith(ROOMS) else Path(inspect.getfile(method))
    assert path is not None
    found: dict[str, str] = {}
    waiting = [(module, path)]
    while waiting:
        module, path = waiting.pop()
        if module in found:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[module] = _code_of(tree)
        for imported in _imports_of(tree):
            if imported.startswith(ROOMS) and (there := _path_of(imported, package)) is not None:
                waiting.append((imported, there))
    digest = hashlib.sha256(method.__qualname__.encode())
    for module in sorted(found):
        digest.update(f"\0{module}\0{found[module]}".encode())
    return digest.hexdigest()[:16]


def _path_of(module: str, package: Path) -> Path | None:
    """The file of a module of the package; None for a name that is no module."""
    place = package.joinpath(*module.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports_of(tree: ast.Module) -> Iterator[str]:
    """Names that may be modules, wherever in the code they are imported; imports are absolute in this package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(2, len(parts) + 1))


def _code_of(tree: ast.Module) -> str:
    """The code without its docstrings and comments, in one layout."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
