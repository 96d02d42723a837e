// The host's end of a serial line: 8 data bits, no parity, one stop bit, a bit of BIT_PS, or of
// +bit_ps= picoseconds.
//
// Bytes are put into a queue by `push`, each change of which appends the first `tx_count` of
// `tx_bytes`; what the board sends is kept, all of it, and `rx_bytes` shows it from byte `rx_at` on.
// `frames` counts frames (up to a flag) of the board.

module uart_host #(
    parameter int BIT_PS = 1000000,
    parameter int CHUNK  = 64,       // bytes handed over at a time
    parameter int BYTES  = 65536     // of each queue; they are rings
) (
    input  logic               push,
    input  logic [8*CHUNK-1:0] tx_bytes,
    input  logic [        7:0] tx_count,
    output logic               tx_idle,
    input  logic [       31:0] rx_at,
    output logic [8*CHUNK-1:0] rx_bytes,
    output logic [       31:0] rx_total,
    output logic [       31:0] frames,
    output logic [       31:0] bad_stops,  // bytes without a stop bit
    output logic               tx,
    input  logic               rx
);
  localparam byte unsigned Flag = 8'h7E;
  realtime a_bit;
  localparam int Mask = BYTES - 1;

  logic [7:0] queue[BYTES], kept[BYTES];
  int queued, sent, bit_ps;

  initial begin
    if (!$value$plusargs("bit_ps=%d", bit_ps)) bit_ps = BIT_PS;
    a_bit = bit_ps * 1ps;
    queued = 0;
    sent = 0;
    rx_total = 0;
    frames = 0;
    bad_stops = 0;
    tx = 1;
    tx_idle = 1;
  end

  // Blocking assignments: these are programs that wait.
  /* verilator lint_off BLKSEQ */
  always @(push) begin
    for (int n = 0; n < int'(tx_count); n++) queue[(queued+n)&Mask] = tx_bytes[8*n+:8];
    queued = queued + int'(tx_count);
  end

  always begin
    wait (sent != queued);
    tx_idle = 0;
    tx = 0;
    #(a_bit);
    for (int n = 0; n < 8; n++) begin
      tx = queue[sent&Mask][n];
      #(a_bit);
    end
    tx = 1;
    #(a_bit);
    sent = sent + 1;
    tx_idle = sent == queued;
  end

  logic [7:0] heard;
  logic in_frame;
  initial in_frame = 0;
  always @(negedge rx) begin
    #(a_bit / 2);
    if (!rx) begin
      for (int n = 0; n < 8; n++) begin
        #(a_bit) heard[n] = rx;
      end
      #(a_bit);
      if (!rx) bad_stops = bad_stops + 1;
      kept[rx_total[30:0]&Mask] = heard;
      rx_total = rx_total + 1;
      if (heard == Flag && in_frame) frames = frames + 1;
      in_frame = heard != Flag;
    end
  end
  /* verilator lint_on BLKSEQ */

  always_comb
    for (int n = 0; n < CHUNK; n++) rx_bytes[8*n+:8] = kept[(int'(rx_at)+n)&Mask];
endmodule
