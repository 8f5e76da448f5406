"""Maps: from a field to a grid, and from a product to numbers at coordinates."""
