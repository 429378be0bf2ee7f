"""S2VNet's parts: unmixing with variable endmembers, a retentive classifier, their fusion, and the losses.

Han, Yang, Gao, Zeng, Zhang, Chanussot, "Subpixel Spectral Variability Network for Hyperspectral Image
Classification", IEEE TGRS 63 (2025), doi 10.1109/TGRS.2025.3535749.
"""
