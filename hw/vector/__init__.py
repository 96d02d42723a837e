"""The vector unit: bias, requantize, clamp."""
