"""The window engine: pools, copies, tables, sums of tensors."""
