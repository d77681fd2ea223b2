"""Provider answers written out by hand, so that the tests know every byte of what upstream sends."""
