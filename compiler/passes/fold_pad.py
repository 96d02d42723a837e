"""Padding in front of convolutions becomes their own."""

from dataclasses import replace

from ..ir import Graph, Node, verify

__all__ = ["fold_pad"]

_LAYERS = ("conv_2d", "depthwise_conv_2d", "convolution", "depthwise_convolution")


def fold_pad(graph: Graph) -> Graph:
    """``pad -> convolution`` becomes a convolution with more padding.

    Both pad with zero, which is the zero point when int8. A pad node stays when it pads channels,
    when something else than convolutions sees its output, or when a convolution would have padding
    as large as its kernel or a stride larger than its input.

    Needs: nothing (float or int8). Keeps: every other tensor, bit for bit.
    """
    for pad in [node for node in graph.nodes if node.op == "pad"]:
        followers = graph.consumers(pad.output)
        if (
            pad.output in graph.outputs
            or any(pad.attrs["channels"])
            or not followers
            or not all(node.op in _LAYERS and _fits(graph, node, pad) for node in followers)
        ):
            continue
        nodes = []
        for node in graph.nodes:
            if pad.output in node.inputs:
                attrs = {**node.attrs, "padding": _together(node, pad)}
                node = replace(node, inputs=pad.inputs, attrs=attrs)
            if node is not pad:
                nodes.append(node)
        graph = graph.with_nodes(nodes)
    return verify(graph)


def _together(node: Node, pad: Node) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(node.attrs["padding"], pad.attrs["padding"], strict=True))


def _fits(graph: Graph, node: Node, pad: Node) -> bool:
    size = graph.tensors[pad.inputs[0]].shape[:2]
    if any(s > n for s, n in zip(node.attrs["stride"], size, strict=True)):
        return False
    kernel = node.consts["weight"].shape[1:3]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, node.attrs["dilation"], strict=True)]
    return all(p < reach[n // 2] for n, p in enumerate(_together(node, pad)))
