"""Gates: Amaranth components, one engine a folder, and the numbers and formats they are built on."""
