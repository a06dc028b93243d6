"""What the console commands and ``tools/`` run: each parses its options before it loads anything.

``--help`` and a look at the options take no PyTorch: a command imports what it works with after
it has parsed its command line.
"""
