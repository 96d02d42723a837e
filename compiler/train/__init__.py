"""Training under the constraints of the hardware; needs PyTorch, the extra ``prunus[train]``."""
