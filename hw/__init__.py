"""Gates: Amaranth components, one engine a folder; the numbers and formats they are built on."""
