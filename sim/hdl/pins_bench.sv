// A board's top level with a serial host, a flash and an oscillator at its pins. Module `board`,
// which gives the pins the same names for every board, is written by prunus.flow.pins.

module pins_bench #(
    parameter int OSCILLATOR_PS = 83333,
    parameter int BIT_PS = 1000000,
    parameter int FLASH_OFFSET = 0,
    parameter bit FLASH_ASLEEP = 0,
    parameter int CHUNK = 64
) (
    input  logic               stop_oscillator,
    input  logic               disturb,          // inverts the line to the board
    input  logic               push,
    input  logic [8*CHUNK-1:0] tx_bytes,
    input  logic [        7:0] tx_count,
    output logic               tx_idle,
    input  logic [       31:0] rx_at,
    output logic [8*CHUNK-1:0] rx_bytes,
    output logic [       31:0] rx_total,
    output logic [       31:0] frames,
    output logic [       31:0] bad_stops,
    output logic               ready,
    output logic               failed,
    output logic               flash_reading,
    output logic [        2:0] flash_problem
);
  logic oscillator, tx, rx, cs_n, sck, copi;
  wire line_to_board, cipo;  // some pads can be driven from both sides

  initial oscillator = 0;
  always #(OSCILLATOR_PS * 1ps / 2) if (!stop_oscillator) oscillator = !oscillator;

  uart_host #(
      .BIT_PS(BIT_PS),
      .CHUNK (CHUNK)
  ) host (
      .push(push),
      .tx_bytes(tx_bytes),
      .tx_count(tx_count),
      .tx_idle(tx_idle),
      .rx_at(rx_at),
      .rx_bytes(rx_bytes),
      .rx_total(rx_total),
      .frames(frames),
      .bad_stops(bad_stops),
      .tx(tx),
      .rx(rx)
  );

  spi_flash #(
      .OFFSET(FLASH_OFFSET),
      .ASLEEP(FLASH_ASLEEP)
  ) flash (
      .cs_n(cs_n),
      .sck(sck),
      .copi(copi),
      .cipo(cipo),
      .problem(flash_problem),
      .reading(flash_reading)
  );

  assign line_to_board = tx ^ disturb;
  board board (
      .oscillator(oscillator),
      .rx(line_to_board),
      .tx(rx),
      .cs_n(cs_n),
      .sck(sck),
      .copi(copi),
      .cipo(cipo),
      .ready(ready),
      .failed(failed)
  );
endmodule
