"""Models: looked up, fetched, opened safely, converted to OpenVINO and kept; devices and precisions."""
