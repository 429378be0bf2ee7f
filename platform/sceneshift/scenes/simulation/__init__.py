"""Pairs of scenes made from spectra, with known abundances and named, graded shifts between source and target.

:func:`sceneshift.scenes.simulation.simulate.simulate` makes one from a
:class:`sceneshift.scenes.simulation.recipe.Simulation`.
"""
