"""``netsky codex N``: one bounded turn of a worker that lives for one turn at a time.

Its brief comes by the bus or from the command line, its answer goes to whoever wrote it, by the
bus. Between two calls the actor is stopped; the next one goes on with its last thread.
"""
