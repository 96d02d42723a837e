// What of Lattice's DP16KD matters to boards.block_ram, written after FPGA-TN-02204: when data come
// out. What is read is no memory's here: a word that tells its address, so that proofs stay small.
module DP16KD #(
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, REGMODE_A = "NOREG", REGMODE_B = "NOREG",
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", RESETMODE = "SYNC", GSR = "DISABLED",
    parameter ASYNC_RESET_RELEASE = "SYNC", CSDECODE_A = "0b000", CSDECODE_B = "0b000",
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL"
) (
    input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13,
    DIA14, DIA15, DIA16, DIA17, ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9,
    ADA10, ADA11, ADA12, ADA13,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA0, CSA1, CSA2,
    input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13,
    DIB14, DIB15, DIB16, DIB17, ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9,
    ADB10, ADB11, ADB12, ADB13,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB0, CSB1, CSB2,
    output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12,
    DOA13, DOA14, DOA15, DOA16, DOA17,
    output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12,
    DOB13, DOB14, DOB15, DOB16, DOB17
);
  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3,
      ADA2, ADA1, ADA0};
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3,
      ADB2, ADB1, ADB0};
  wire wide = DATA_WIDTH_A == 36 || DATA_WIDTH_B == 36;
  wire [17:0] found_a = {4'h5, wide ? address_b : address_a}, found_b = {4'ha, address_b};
  reg [17:0] a = 0, b = 0, a_of_a = 0, a_of_b = 0, b_of_b = 0;
  always @(posedge CLKA) begin
    if (!wide && CEA) a <= found_a;
    if (OCEA) a_of_a <= a;
  end
  always @(posedge CLKB) begin
    if (wide && CEB) a <= found_a;
    if (CEB) b <= found_b;
    if (OCEB) a_of_b <= a;
    if (OCEB) b_of_b <= b;
  end
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
      DOA4, DOA3, DOA2, DOA1, DOA0} =
      REGMODE_A != "OUTREG" ? a : wide ? a_of_b : a_of_a;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
      DOB4, DOB3, DOB2, DOB1, DOB0} =
      REGMODE_B != "OUTREG" ? b : b_of_b;
endmodule
