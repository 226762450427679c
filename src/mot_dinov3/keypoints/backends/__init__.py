"""Dense descriptors of an image: one per patch, from DINO tokens, a convolutional network or gradients."""

BACKENDS = {
    "dino": "mot_dinov3.keypoints.backends.dino_patches:DinoBackend",
    "convnet": "mot_dinov3.keypoints.backends.convnet:ConvnetBackend",
    "gradient": "mot_dinov3.keypoints.backends.gradient:GradientBackend",
}
