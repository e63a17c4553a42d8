"""Services: visdom, TensorBoard and JupyterLab, started, found again and stopped.

Imports stacks and all below. Runs in the host's interpreter; serve is what a stack's interpreter runs.
"""
