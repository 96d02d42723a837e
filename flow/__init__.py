"""The Python API that strings compiler, simulation and boards together, and its command line."""
