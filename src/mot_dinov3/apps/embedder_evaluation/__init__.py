"""How well embedders distinguish the objects of a folder of identities, or of a tracked video."""

from mot_dinov3.apps.embedder_evaluation.comparison import (
    ComparisonConfig,
    EmbedderComparison,
    EmbedderSpec,
    available_embedders,
    compare_embedders,
)
from mot_dinov3.apps.embedder_evaluation.retrieval import RetrievalScores

__all__ = [
    "ComparisonConfig",
    "EmbedderComparison",
    "EmbedderSpec",
    "RetrievalScores",
    "available_embedders",
    "compare_embedders",
]
