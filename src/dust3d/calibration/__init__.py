"""Simulation-based calibration: truths from the prior, and their ranks among posterior samples."""
