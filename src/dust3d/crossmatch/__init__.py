"""Pairing of two catalogues whose positions hold at different epochs, and how well it works."""

from dust3d.crossmatch.pairs import Pairs, Sky, match

__all__ = ["Pairs", "Sky", "match"]
