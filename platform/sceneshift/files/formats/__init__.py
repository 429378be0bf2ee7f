"""File formats scenes and label maps are read from and written to, one module each.

A format lists what a file holds, loads an array by name, reads what describes the arrays, and writes both.
:mod:`sceneshift.files.arrays` and :mod:`sceneshift.files.scenes` are what the rest of the package calls.
"""
