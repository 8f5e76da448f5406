"""What ln rho can be: Fourier series, networks, means, sums of them, known skies."""
