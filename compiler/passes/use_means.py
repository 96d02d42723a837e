"""Average pools over a whole image become means, which have a scale of their own."""

from dataclasses import replace

from ..ir import Graph, Node, verify

__all__ = ["use_means"]


def use_means(graph: Graph) -> Graph:
    """``average_pool_2d`` with one window, which is its input, becomes ``mean``.

    An int8 average pool keeps the scale of its input, and the mean of an image has a far smaller
    range than its pixels: ResNet-8's logits lost more there than in all of its layers together.

    Needs: a float graph. Keeps: the function.
    """
    nodes = (
        replace(node, op="mean", attrs={}) if _whole(graph, node) else node for node in graph.nodes
    )
    return verify(graph.with_nodes(nodes))


def _whole(graph: Graph, node: Node) -> bool:
    """Whether a node is a pool without padding whose kernel is the image."""
    return (
        node.op == "average_pool_2d"
        and tuple(node.attrs["kernel"]) == graph.tensors[node.inputs[0]].shape[:2]
        and not any(node.attrs["padding"])
    )
