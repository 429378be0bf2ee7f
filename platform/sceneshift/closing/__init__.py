"""What happens to a chosen network: refit, opening the target, scores, registering, pictures, maps of other scenes."""
