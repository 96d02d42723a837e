"""SystemVerilog harnesses that keep Python out of the cycle path."""
