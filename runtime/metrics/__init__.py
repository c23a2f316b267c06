"""Measures of accuracy: COCO AP (``coco``), PCK (``pck``), tracking (``mot``), steadiness (``jitter``), agreement of two runs."""
