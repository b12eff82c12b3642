"""Lets `python -m dragon` run the `dragon` command."""

from dragon.cli import main

main()
