"""Decisions as data: the steps a function takes, what is fused, where values live, their names."""
