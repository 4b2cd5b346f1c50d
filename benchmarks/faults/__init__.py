"""Kinds of faults that `campaign.py` tries one by one; each module yields an empty line for one that held.

``attempts(quick)`` yields, for every fault, what was wrong afterwards, in one line; nothing where augkit held.
"""
