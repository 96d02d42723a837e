"""A dense engine for the smallest parts, in which memory has one port and logic is scarce."""
