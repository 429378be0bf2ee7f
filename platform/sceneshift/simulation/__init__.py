"""Pairs of scenes made from spectra, with known abundances and named, graded shifts between source and target.

:func:`sceneshift.simulation.simulate.simulate` makes one from a
:class:`sceneshift.simulation.spec.Simulation`.
"""
