"""An extension of griffe for the API pages: Sphinx roles of docstrings become code."""

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?\.?([^`]+)`")


class Roles(Extension):
    """Shows ``:class:`a.b.C``` as ``C``."""

    def on_object(self, *, obj: Object, **_: Any) -> None:  # noqa: ANN401
        """Rewrite one docstring."""
        if obj.docstring is not None:
            text = _ROLE.sub(lambda found: f"`{found.group(1).rsplit('.', 1)[-1]}`", obj.docstring.value)
            obj.docstring.value = text.replace("``", "`")
