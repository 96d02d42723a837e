"""The core inside a larger design: AXI4-Stream, registers behind AXI4-Lite or Wishbone."""
