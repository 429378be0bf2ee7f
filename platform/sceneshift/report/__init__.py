"""Presentation of results: pictures, class maps, tables, the report's page."""

import contextlib

from sceneshift.errors import ResourceError
from sceneshift.own_folders import ensure_home

# Matplotlib looks for its folder when it is imported. Where there is none for it, the command says so.
with contextlib.suppress(ResourceError):
    ensure_home()
