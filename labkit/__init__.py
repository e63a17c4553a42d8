"""What the labs share and no lab should have to contain: stacks, data sets, runs, reports.

The modules that `tasks.py` imports need only Python >= 3.8 and, for tables and progress bars, rich; they never
import torch. `labkit.run` and `labkit.compat` are for the labs and run inside a stack.
"""
