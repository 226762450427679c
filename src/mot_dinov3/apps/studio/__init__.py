"""A local web page to build galleries, label and correct keypoints, and view similarity."""
