"""From matched catalogues to the stars that are fitted."""
