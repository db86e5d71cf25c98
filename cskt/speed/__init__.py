"""How fast the stages are: against plain loops, against other libraries, against what the machine can do.

`make bench` measures all of it in one process (notebooks/20_performance.ipynb). The plain loops are tests/reference/,
so that only a checkout of the project can do this.
"""
