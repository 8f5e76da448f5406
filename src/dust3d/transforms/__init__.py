"""Evaluating Fourier series: at points by separable products, on grids by FFT."""
