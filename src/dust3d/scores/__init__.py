"""How good a fit is: on held-out stars, and, for mocks, against the truth."""
