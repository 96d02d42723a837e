"""Which PE computes which output."""

import heapq

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign_rows"]

Int = NDArray[np.int64]


def assign_rows(work: Int, pes: int, lanes: int, max_rows: int) -> tuple[Int, Int]:
    """Deal outputs to PEs so that each has about the same work.

    ``work`` (outputs,) is the number of non-zero weights of each output. Output o may go to any PE
    of its lane (``pe % lanes == o % lanes``), which is what lets the vector unit take ``lanes``
    outputs a cycle in natural order. Returns the PE and the accumulator of each output. Longest
    processing time first (Graham, 1969), at most ``max_rows`` rows a PE; then rows change places
    as long as that takes work from the busiest PE of a lane.

    Raises
    ------
    ValueError
        The outputs do not fit.

    >>> assign_rows(np.array([5, 1, 4, 1]), 2, 1, 4)
    (array([0, 1, 1, 0]), array([0, 0, 1, 1]))
    """
    outputs = len(work)
    pe, row = np.zeros(outputs, np.int64), np.zeros(outputs, np.int64)
    if -(-outputs // lanes) > pes // lanes * max_rows:
        raise ValueError(f"work must be at most {pes * max_rows} outputs, not {outputs}")
    for lane in range(lanes):
        members = np.arange(lane, outputs, lanes)
        order = members[np.argsort(-np.asarray(work)[members], kind="stable")]
        # The number of rows breaks ties, so that outputs without work are spread as well.
        heap = [(0, 0, choice) for choice in range(lane, pes, lanes)]
        for output in order.tolist():
            load, used, choice = heapq.heappop(heap)
            pe[output], row[output] = choice, used
            if used + 1 < max_rows:
                heapq.heappush(heap, (load + int(work[output]), used + 1, choice))
        _exchange(work, pe, members, range(lane, pes, lanes))
    # Neighbouring outputs in neighbouring accumulators: numbered in natural order inside a PE.
    order = np.lexsort((np.arange(outputs), pe))
    starts = np.searchsorted(pe[order], np.arange(pes))
    row[order] = np.arange(outputs) - starts[pe[order]]
    return pe, row


def _exchange(work: Int, pe: Int, members: Int, choices: range) -> None:
    """Swap rows of the busiest PE with lighter ones until no swap makes it less busy.

    First-fit by size ends uneven when rows are much alike: it decides by number, not by weight.
    """
    rows = {choice: members[pe[members] == choice] for choice in choices}
    loads = {choice: int(work[mine].sum()) for choice, mine in rows.items()}
    while True:
        busiest = max(choices, key=loads.__getitem__)
        for other in sorted(choices, key=loads.__getitem__):
            gap = loads[busiest] - loads[other]
            if gap < 2 or not len(rows[other]):
                continue
            change = work[rows[busiest]][:, None] - work[rows[other]][None, :]
            # The best change is half of the gap; 0 and the whole gap change nothing.
            excess = np.abs(2 * change - gap)
            i, j = np.unravel_index(np.argmin(excess), excess.shape)
            if excess[i, j] < gap:
                break
        else:
            return
        moved = int(change[i, j])
        first, second = rows[busiest][i], rows[other][j]
        rows[busiest][i], rows[other][j] = second, first
        pe[first], pe[second] = other, busiest
        loads[busiest] -= moved
        loads[other] += moved
