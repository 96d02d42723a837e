// Behavioural models of the memory wrappers, for simulation and lint. For a chip, replace this file
// by one whose modules of the same names and ports instantiate the SRAM macros that you have, by
// WIDTH and DEPTH. docs/asic.md of Prunus has the contract.
//
// Contents and read data are unknown at power-up, and nothing depends on them. Read data stays until
// the next read.

// One port to read and one to write. Reading the row that is written gives nothing.
module prunus_ram_1r1w #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,  // bits of an address
    parameter PARTS = 1     // of a row, of equal width, that are written one by one
) (
    input  wire               clk,
    input  wire               r_en,
    input  wire [ADDRESS-1:0] r_addr,
    output reg  [  WIDTH-1:0] r_data,
    input  wire [  PARTS-1:0] w_en,
    input  wire [ADDRESS-1:0] w_addr,
    input  wire [  WIDTH-1:0] w_data
);
  localparam PART = WIDTH / PARTS;
  reg [WIDTH-1:0] rows[0:DEPTH-1];
  integer n;

  always @(posedge clk) begin
    for (n = 0; n < PARTS; n = n + 1)
      if (w_en[n]) rows[w_addr][n*PART+:PART] <= w_data[n*PART+:PART];
    if (r_en) r_data <= (|w_en && w_addr == r_addr) ? {WIDTH{1'bx}} : rows[r_addr];
  end
endmodule

// One port. A cycle that writes (any bit of w_en) reads nothing.
module prunus_ram_1rw #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,
    parameter PARTS = 1
) (
    input  wire               clk,
    input  wire               en,  // without it nothing happens
    input  wire [ADDRESS-1:0] addr,
    output reg  [  WIDTH-1:0] r_data,
    input  wire [  PARTS-1:0] w_en,
    input  wire [  WIDTH-1:0] w_data
);
  localparam PART = WIDTH / PARTS;
  reg [WIDTH-1:0] rows[0:DEPTH-1];
  integer n;

  always @(posedge clk)
    if (en) begin
      for (n = 0; n < PARTS; n = n + 1)
        if (w_en[n]) rows[addr][n*PART+:PART] <= w_data[n*PART+:PART];
      r_data <= |w_en ? {WIDTH{1'bx}} : rows[addr];
    end
endmodule

// A ROM with the contents of FILE, as $readmemh reads it.
module prunus_rom #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,
    parameter FILE = "image.hex"
) (
    input  wire               clk,
    input  wire               r_en,
    input  wire [ADDRESS-1:0] r_addr,
    output reg  [  WIDTH-1:0] r_data
);
  reg [WIDTH-1:0] rows[0:DEPTH-1];

`ifndef SYNTHESIS
  initial $readmemh(FILE, rows);
`endif

  always @(posedge clk) if (r_en) r_data <= rows[r_addr];
endmodule
