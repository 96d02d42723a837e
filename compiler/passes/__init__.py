"""Rewrites from graph to graph, one a file; each can be used alone."""
