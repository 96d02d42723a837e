"""How many bits each layer's codes have, by what fewer of them cost."""

from collections.abc import Callable, Sequence

import numpy as np

from ..huffman import entropy
from .allocate import Choice, allocate
from .data import Data
from .fit import score
from .network import Layer, Network

__all__ = ["bit_choices", "code_bits", "search_bits", "share_layers"]


def share_layers(
    network: Network, bits: int | dict[str, int], kind: str = "codebook", *, noisy: bool = False
) -> None:
    """Restrict the weights of every layer, or of those that a mapping names."""
    for name, part in network.layers.items():
        wanted = bits.get(name) if isinstance(bits, dict) else bits
        if wanted is not None:
            part.share(kind, wanted, noisy=noisy)


def code_bits(part: Layer) -> float:
    """Bits of a layer's non-zero weights after entropy coding, and of its table of values."""
    steps = part.steps().detach().numpy()
    _, counts = np.unique(steps[steps != 0], return_counts=True)
    return entropy(counts) + 12.0 * len(counts)


def bit_choices(
    network: Network,
    data: Data,
    bits: Sequence[int] = (1, 2, 3, 4, 5, 6),
    kind: str = "codebook",
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, list[Choice]]:
    """What each layer alone, with so many bits and without training, costs in bits and loss.

    The loss is on the held-out samples, above that of the network as it is.
    """
    before = score(network, data)
    found: dict[str, list[Choice]] = {}
    for number, (name, part) in enumerate(network.layers.items()):
        if progress is not None:
            progress("bits of each layer", number, len(network.layers))
        held, found[name] = part.scheme, []
        for count in bits:
            part.share(kind, count)
            after = score(network, data)
            grown = max(0.0, after.loss - before.loss)
            found[name].append(Choice(count, code_bits(part), grown))
            part.scheme = held
    return found


def search_bits(
    network: Network,
    data: Data,
    *,
    loss: float | None = None,
    cost: float | None = None,
    bits: Sequence[int] = (1, 2, 3, 4, 5, 6),
    kind: str = "codebook",
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, int]:
    """The bits of each layer: the fewest that let the held-out loss grow by at most ``loss``.

    Or, with a ``cost`` in bits for all layers, those with the least loss. What the layers cost
    alone is added up; training afterwards wins back some of it.
    """
    choices = bit_choices(network, data, bits, kind, progress)
    return {
        name: int(choice.value) for name, choice in allocate(choices, cost=cost, loss=loss).items()
    }
