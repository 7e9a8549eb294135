"""The benchmarks: the numbers of DESIGN 6 and their peers, in one run on one machine.

    make bench                      everything, about five minutes on two cores
    make bench ARGS=--quick         a look, in under a minute
    make bench ARGS="--only fanout"

One file per question (ingest, latency, azure, fanout, connects, updates). The viewers live in a process of their own
(generator.py), each server in another (peers/), so that nobody pays for the other. What counts is the ratio between two
servers of the same run; a number alone tells more about the machine.
"""
