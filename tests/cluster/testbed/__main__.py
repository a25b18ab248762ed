"""python -m testbed tools|up [core|scale|full|lint]: build what is missing; start the cluster.
python -m testbed down: end it.
python -m testbed program NAME: the path of a program that is built.
"""

import argparse
import sys

from . import cluster
from .down import down
from .node import require_machine
from .paths import KUBECONFIG, TestbedError
from .tools import binary, build, groups_up_to

parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
parser.add_argument("command", choices=["tools", "up", "down", "program"])
parser.add_argument("name", nargs="?", default="scale", help="a group, or a program")
arguments = parser.parse_args()
try:
    if arguments.command == "down":
        down()
    elif arguments.command == "tools":
        build(groups_up_to(arguments.name))
    elif arguments.command == "program":
        print(binary(arguments.name))
    else:
        require_machine()
        cluster.up(arguments.name)
        print(f"export KUBECONFIG={KUBECONFIG}")
except TestbedError as error:
    sys.exit(f"error: {error}")
