"""Segments in the formats of other tools: detections to review, and reviewed annotations."""
