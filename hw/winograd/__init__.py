"""The Winograd convolution unit."""
