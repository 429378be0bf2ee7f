"""Torch modules and losses: S2AMSnet's involution, generators, discriminator and encoder; in ``s2vnet``, S2VNet's."""
