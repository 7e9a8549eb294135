"""The benchmarks: Statecast and its peers, in one run on one machine.

    make bench                      everything, about five minutes on two cores
    make bench ARGS=--quick         a rough result, in under a minute
    make bench ARGS=fanout

There is one module per question (ingest, latency, azure, fanout, connects, updates). The viewers
run in a process of their own (generator.py), and so does each server (peers/), so that CPU time is
measured apart. Compare the ratio of two servers of the same run; a number alone depends on the
machine.
"""
