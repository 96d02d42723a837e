// Memories too small for an SRAM macro, and those that are read without a clock: flip-flops. This
// file may go into synthesis as it is, or be replaced by register files or arrays of latches.

// Written at the clock's edge, read at once. Contents are unknown at power-up.
module prunus_registers #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,  // bits of an address
    parameter PARTS = 1     // of a row, of equal width, that are written one by one
) (
    input  wire               clk,
    input  wire [ADDRESS-1:0] r_addr,
    output wire [  WIDTH-1:0] r_data,
    input  wire [  PARTS-1:0] w_en,
    input  wire [ADDRESS-1:0] w_addr,
    input  wire [  WIDTH-1:0] w_data
);
  localparam PART = WIDTH / PARTS;
  reg [WIDTH-1:0] rows[0:DEPTH-1];
  integer n;

  always @(posedge clk)
    for (n = 0; n < PARTS; n = n + 1)
      if (w_en[n]) rows[w_addr][n*PART+:PART] <= w_data[n*PART+:PART];

  assign r_data = rows[r_addr];
endmodule
