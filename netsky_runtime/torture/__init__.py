"""Killing netsky over and over, and looking whether anything was lost: ``netsky torture``.

``runner`` plays an operator on a throw-away home; ``victim`` is the daemon that is killed.
"""
