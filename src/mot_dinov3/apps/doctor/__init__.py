"""What works here and what does not, with the fix.

Each part is tried in a process of its own (`probes`), so that a library that cannot be imported, or that takes the
process down with it, is a finding like any other; `checks` turns what came back into findings.
"""
