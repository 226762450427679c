"""The frame loops: the only place that introduces the stages to each other."""
