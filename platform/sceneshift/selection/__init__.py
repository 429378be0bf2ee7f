"""Model selection: strategies over recorded epochs. Each says which labels and pixels it reads."""
