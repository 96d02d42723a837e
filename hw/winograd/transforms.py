"""The transforms along one axis, as sums that share what they can."""

from .scheme import Scheme

__all__ = ["choose", "input_transform", "kernel_transform"]


def input_transform(scheme: Scheme, d):
    """``B^T d`` for a list of ``scheme.size`` values: two additions deep.

    Equal to :func:`prunus.sim.winograd.input_transform` along one axis.
    """
    if scheme.outputs == 2:
        return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[3] - d[1]]
    even, odd = d[2].shift_left(2) - d[4], d[1].shift_left(2) - d[3]
    near, far = d[4] - d[2], d[3] - d[1]
    first, last = d[0] - d[2], d[5] - d[3]
    return [
        near + first.shift_left(2),
        even + odd,
        even - odd,
        near + far.shift_left(1),
        near - far.shift_left(1),
        last - far.shift_left(2),
    ]


def kernel_transform(scheme: Scheme, g):
    """``G g`` for a list of three values: two additions deep.

    Equal to :func:`prunus.sim.winograd.kernel_transform` along one axis.
    """
    outer = g[0] + g[2]
    inner = [outer + g[1], outer - g[1]]
    if scheme.outputs == 2:
        return [g[0].shift_left(1), *inner, g[2].shift_left(1)]
    wide, middle = g[0] + g[2].shift_left(2), g[1].shift_left(1)
    return [g[0], *inner, wide + middle, wide - middle, g[2]]


def choose(m, target, select, values):
    """Give ``target`` the value that ``select`` numbers; numbers too large mean the last."""
    if len(values) == 1:
        m.d.comb += target.eq(values[0])
        return
    with m.Switch(select):
        for n, value in enumerate(values[:-1]):
            with m.Case(n):
                m.d.comb += target.eq(value)
        with m.Default():
            m.d.comb += target.eq(values[-1])
