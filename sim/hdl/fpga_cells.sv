// Behaviour of the cells that a board's top level has at its pins and in its clock: what the tools
// of the vendors, and Yosys, leave to the silicon. Cells that Yosys describes are taken from there.

// A clock of MULTIPLY / DIVIDE times the reference, which is measured, not assumed. Without a
// reference it goes on as it was, without lock.
module pll_model #(
    parameter int MULTIPLY = 1,
    parameter int DIVIDE   = 1
) (
    input  logic reference,
    output logic clock,
    output logic locked
);
  localparam int LockEdges = 16;
  realtime last, period;
  int edges;

  /* verilator lint_off BLKSEQ */
  initial begin
    clock  = 0;
    locked = 0;
    edges  = 0;
    last   = 0;
    period = 0;
  end
  always @(posedge reference) begin
    if (edges > 0 && $realtime - last < 1us) period = $realtime - last;
    else edges = 0;
    last = $realtime;
    if (edges < LockEdges) edges = edges + 1;
  end
  always
    if (period == 0) @(posedge reference);
    else begin
      #(period * DIVIDE / (2.0 * MULTIPLY)) clock = !clock;
      if ($realtime - last > 3 * period) edges = 0;
      locked = edges == LockEdges;
    end
  /* verilator lint_on BLKSEQ */
endmodule

// A pad that drives while it is enabled (PIN_TYPE 101001), or only listens (000001).
module SB_IO #(
    parameter logic [5:0] PIN_TYPE = 0,
    parameter IO_STANDARD = "SB_LVCMOS",
    parameter int PULLUP = 0
) (
    inout  wire  PACKAGE_PIN,
    input  logic OUTPUT_ENABLE = 0,
    input  logic D_OUT_0 = 0,
    output logic D_IN_0
);
  if (PIN_TYPE == 6'b101001) assign PACKAGE_PIN = OUTPUT_ENABLE ? D_OUT_0 : 1'bz;
  else if (PIN_TYPE != 6'b000001) $error("this type of pin is not modelled");
  assign D_IN_0 = PACKAGE_PIN;
endmodule

module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter logic [3:0] DIVR = 0,
    parameter logic [6:0] DIVF = 0,
    parameter logic [2:0] DIVQ = 0,
    parameter logic [2:0] FILTER_RANGE = 0
) (
    input  logic PACKAGEPIN,
    input  logic RESETB,
    input  logic BYPASS,
    output logic PLLOUTGLOBAL,
    output logic LOCK
);
  if (FEEDBACK_PATH != "SIMPLE" || FILTER_RANGE == 0) $error("these parameters are not modelled");
  logic unused;
  assign unused = RESETB & BYPASS;
  pll_model #(
      .MULTIPLY(int'(DIVF) + 1),
      .DIVIDE((int'(DIVR) + 1) << DIVQ)
  ) pll (
      .reference(PACKAGEPIN),
      .clock(PLLOUTGLOBAL),
      .locked(LOCK)
  );
endmodule

module EHXPLLL #(
    parameter PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED",
    parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED",
    parameter FEEDBK_PATH = "CLKOP",
    parameter CLKOP_ENABLE = "ENABLED",
    parameter CLKOS_ENABLE = "ENABLED",
    parameter OUTDIVIDER_MUXA = "DIVA",
    parameter OUTDIVIDER_MUXB = "DIVB",
    parameter int CLKI_DIV = 1,
    parameter int CLKFB_DIV = 1,
    parameter int CLKOP_DIV = 1,
    parameter int CLKOP_CPHASE = 0,
    parameter int CLKOP_FPHASE = 0,
    parameter int CLKOS_DIV = 1,
    parameter int CLKOS_CPHASE = 0,
    parameter int CLKOS_FPHASE = 0
) (
    input  logic CLKI,
    input  logic CLKFB,
    input  logic RST,
    input  logic STDBY,
    input  logic PHASESEL0,
    input  logic PHASESEL1,
    input  logic PHASEDIR,
    input  logic PHASESTEP,
    input  logic PHASELOADREG,
    input  logic PLLWAKESYNC,
    input  logic ENCLKOP,
    output logic CLKOP,
    output logic CLKOS,
    output logic LOCK
);
  if (FEEDBK_PATH != "CLKOP" || CLKOP_ENABLE != "ENABLED" || CLKOS_ENABLE != "ENABLED")
    $error("these parameters are not modelled");
  logic unused;
  assign unused = CLKFB & RST & STDBY & PHASESEL0 & PHASESEL1 & PHASEDIR & PHASESTEP &
      PHASELOADREG & PLLWAKESYNC & ENCLKOP;
  assign CLKOP = 0;  // goes nowhere but back into the loop
  pll_model #(
      .MULTIPLY(CLKFB_DIV * CLKOP_DIV),
      .DIVIDE(CLKI_DIV * CLKOS_DIV)
  ) pll (
      .reference(CLKI),
      .clock(CLKOS),
      .locked(LOCK)
  );
endmodule

// Clock gate: the enable counts while the clock is low.
module DCCA (
    input  logic CLKI,
    input  logic CE,
    output logic CLKO
);
  logic enabled;
  /* verilator lint_off LATCH */
  always_latch if (!CLKI) enabled = CE;
  /* verilator lint_on LATCH */
  assign CLKO = CLKI & enabled;
endmodule

// The way to the clock pin of the flash, which the board's bench looks for in here.
module USRMCLK (
    input logic USRMCLKI,
    input logic USRMCLKTS
);
  logic pin;
  assign pin = USRMCLKI | USRMCLKTS;
endmodule

module IB (
    input  logic I,
    output logic O
);
  assign O = I;
endmodule

module OBZ (
    input  logic I,
    input  logic T,
    output logic O
);
  assign O = I | T;  // a pull-up keeps a pin that is not driven high
endmodule
