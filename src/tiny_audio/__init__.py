"""Tiny Audio: train, evaluate, run and understand your own small speech recogniser on one machine."""

__version__ = "0.1.0"
