"""The systolic array: convolutions and matrices of dense weights."""
