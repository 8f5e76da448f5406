"""From colours and spectral types to extinctions."""
