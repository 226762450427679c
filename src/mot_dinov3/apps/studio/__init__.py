"""A local web page to correct tracks and identities, build galleries, label keypoints, and view similarity."""
