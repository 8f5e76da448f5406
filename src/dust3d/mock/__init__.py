"""Known skies: the dust, the stars behind it, and the two catalogues that see them."""
