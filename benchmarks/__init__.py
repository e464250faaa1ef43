"""How long every recipe takes beside the edit that it studies; run by `make bench`."""
