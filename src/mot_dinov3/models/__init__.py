"""Models: looked up, downloaded, opened safely, converted to OpenVINO and cached; devices and precisions."""
