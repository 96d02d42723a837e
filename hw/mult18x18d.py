"""The multiplier block of an ECP5."""

from amaranth import ClockSignal, Const, Instance, Signal

__all__ = ["mult18x18d"]


def mult18x18d(m, a, b, *, pipeline: bool = True):
    """The signed product, 36 bits, of two signed operands of 18 bits in a block of module ``m``.

    The block's registers for operands and product are used, and with ``pipeline`` the one between
    them: 2 or 3 cycles. Ports that are not used stay open: a constant there would have to be
    routed, and the shift inputs have no way in from the fabric. No register has an enable: the
    blocks of a group share four, so that one that is used by few would say which blocks may be
    neighbours. Source: Lattice FPGA-TN-02205, ECP5 sysDSP usage guide.
    """
    product = Signal(36)
    ports = {}
    for n in range(18):
        ports |= {f"i_A{n}": a[n], f"i_B{n}": b[n]}
    for n in range(36):
        ports[f"o_P{n}"] = product[n]
    for register in ("INPUTA", "INPUTB", *(["PIPELINE"] if pipeline else []), "OUTPUT"):
        ports |= {
            f"p_REG_{register}_CLK": "CLK0",
            f"p_REG_{register}_CE": "CE0",
            f"p_REG_{register}_RST": "RST0",
        }
    if not pipeline:
        ports["p_REG_PIPELINE_CLK"] = "NONE"
    m.submodules.block = Instance(
        "MULT18X18D",
        **ports,
        i_CLK0=ClockSignal(),
        i_CE0=Const(1),
        i_RST0=Const(0),
        i_SIGNEDA=Const(1),
        i_SIGNEDB=Const(1),
        i_SOURCEA=Const(0),
        i_SOURCEB=Const(0),
    )
    return product
