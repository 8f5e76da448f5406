"""Prior, likelihood, and the search for the maximum of the posterior."""
