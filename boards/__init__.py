"""Boards: platforms, the top level that goes on them, bitstreams."""
