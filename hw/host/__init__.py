"""The host port: framed requests and replies over a byte stream."""
