"""From the bytes of a ROM image to the memories: bit reader, Huffman decoder, loader."""
