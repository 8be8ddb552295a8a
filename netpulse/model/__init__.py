"""The nouns of the product: frozen Structs, one file a noun, no behaviour beyond validation."""
