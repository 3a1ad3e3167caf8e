"""`python -m dapeng` is the command `dapeng`."""

from dapeng.cli.main import run

run()
