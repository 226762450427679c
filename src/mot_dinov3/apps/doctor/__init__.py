"""Diagnosis of an installation: which parts work, and how to fix the others.

Each part is tested in a separate process (`probes`), so that a library that cannot be imported, or that crashes the
process, is a finding like any other; `checks` turns the results into findings.
"""
