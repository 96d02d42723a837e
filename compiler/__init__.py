"""From a model file to a compressed, scheduled program in a ROM image."""
