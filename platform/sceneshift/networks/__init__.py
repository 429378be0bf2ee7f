"""Torch modules and losses: involution, S2AMSnet's generators, discriminator, encoder and loss terms."""
