"""Scores of tracking results against ground truth: HOTA, CLEAR and identity metrics."""

from mot_dinov3.apps.evaluation.box_tables import BoxTable, SequencePair, as_table, load_pairs, read_tracks, read_truth
from mot_dinov3.apps.evaluation.participation import participation_notices
from mot_dinov3.apps.evaluation.scoring import COMBINED, Scores, evaluate, score

__all__ = [
    "COMBINED",
    "BoxTable",
    "Scores",
    "SequencePair",
    "as_table",
    "evaluate",
    "load_pairs",
    "participation_notices",
    "read_tracks",
    "read_truth",
    "score",
]
