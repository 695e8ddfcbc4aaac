"""The file bus: one JSON file a message, in a folder for each actor and each other program.

Only files are touched here; nothing in this package needs a daemon or its database.
"""
