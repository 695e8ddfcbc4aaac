"""A thread runtime played by a script: the demo, the pictures and most tests stand on it."""
