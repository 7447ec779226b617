"""A whole program: `python benchmarks/whole.py WORKLOAD FRAMEWORK` trains and reads the loss at each step."""

import importlib
import sys

workload = importlib.import_module("workloads." + sys.argv[1])
reset, step, read = workload.FRAMEWORKS[sys.argv[2]]()
reset()
for i in range(workload.STEPS):
    loss = read(step(i))
print(loss)
