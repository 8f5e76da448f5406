"""Figures: functions that take plain arrays and return a `matplotlib` Figure, never saving it.

No state of pyplot is touched, so that figures need no display and leave nothing behind.
"""
