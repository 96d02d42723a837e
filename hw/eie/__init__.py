"""The EIE array: non-zero activations broadcast to PEs that walk compressed columns."""
