// Stands in for the accelerator in test_network.py: answers every frame with {7E, its first byte,
// 7E}; on a frame whose first byte is 01 runs two "layers" and answers when they have ended.
//
// Layer 3 writes words 2..4 in two passes (descriptors with one number), layer 5 four pixels of a
// lane group, in words 8, 10, 12 and 14; byte n of what layer L writes in run S is 16*L + n + 64*S.
// A first byte of F0..F6 sets a fault of run 1: 1 a wrong byte, 2 a group never written, 3 a stray
// write, 4 never ends, 5 a pixel's group in the gap behind it, 6 one written behind the last too.

module accelerator (
    input  logic        clk,
    input  logic        rst,
    input  logic [ 7:0] host_i__payload,
    input  logic        host_i__valid,
    output logic        host_i__ready,
    output logic [ 7:0] host_o__payload,
    output logic        host_o__valid,
    input  logic        host_o__ready,
    output logic        ready,
    output logic        failed,
    output logic        trace__valid,
    output logic [ 7:0] trace__layer,
    output logic [ 3:0] trace__address,
    output logic [ 0:0] trace__group,
    output logic [31:0] trace__data,
    output logic        trace__layer_start,
    output logic        trace__array_done,
    output logic        trace__layer_done,
    output logic        trace__run_done
);
  logic [7:0] first, sample;
  logic [3:0] fault;
  logic       have_first, running;
  logic [1:0] answer;  // bytes of the reply that are left
  logic [5:0] tick, warming;

  assign failed = 0;
  assign ready = warming == 63;
  assign host_i__ready = !running && answer == 0;
  assign host_o__valid = answer != 0 && !running;
  assign host_o__payload = answer == 2 ? first : 8'h7E;

  // A run: ticks 1..31 are layer 3 in two passes of 16, ticks 33..47 layer 5, tick 60 the end.
  logic [3:0] step;
  logic [7:0] group;  // of the layer
  assign step = tick[3:0];
  assign trace__layer = tick < 32 ? 3 : 5;
  assign trace__layer_start = running && step == 1 && tick < 48;
  assign trace__array_done = running && step == 6 && tick < 48;
  assign trace__layer_done = running && step == 12 && tick < 48;
  assign trace__run_done = running && tick == 60 && !(fault == 4 && sample == 1);
  assign group = 8'(tick < 16 ? 0 : tick < 32 ? 3 : 0) + 8'(step - 7);
  always_comb begin
    trace__valid = running && step >= 7 && step < (tick < 32 ? 10 : 11) && tick < 48;
    trace__address = 4'(tick < 32 ? 2 + {1'b0, group[7:1]} : 8 + 2 * group);
    trace__group = tick < 32 && group[0];
    for (int n = 0; n < 4; n++)
      trace__data[8*n+:8] = 16 * trace__layer + 4 * group + 8'(n) + 64 * sample;
    if (sample == 1 && tick == 25) begin
      if (fault == 1) trace__data[15:8] = 8'hEE;
      if (fault == 2) trace__valid = 0;
      if (fault == 3) trace__address = 9;
    end
    if (sample == 1 && fault == 5 && tick == 40) trace__group = 1;
    if (sample == 1 && fault == 6 && tick == 43) begin
      trace__valid = 1;
      trace__address = 15;
      trace__group = 0;
    end
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 0;
      fault <= 0;
      answer <= 0;
      have_first <= 0;
      sample <= 0;
      warming <= 0;
    end else begin
      if (warming != 63) warming <= warming + 1;
      if (host_i__valid && host_i__ready) begin
        if (host_i__payload != 8'h7E) begin
          if (!have_first) first <= ready ? host_i__payload : 8'hBB;
          have_first <= 1;
        end else if (have_first) begin
          have_first <= 0;
          answer <= 3;
          running <= first == 1;
          if (first[7:4] == 4'hF) fault <= first[3:0];
          tick <= 0;
        end
      end
      if (host_o__valid && host_o__ready) answer <= answer - 1;
      if (running && tick != 63) tick <= tick + 1;
      if (trace__run_done) begin
        running <= 0;
        sample <= sample + 1;
      end
    end
  end
endmodule
