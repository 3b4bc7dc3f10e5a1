"""Clepsydra: the whole line of a time-series project, from raw data to published forecasts."""

__version__ = "0.1.0"
