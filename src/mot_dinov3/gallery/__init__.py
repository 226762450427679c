"""Known identities: folders of images → embeddings → who a track is. A stage that works with any tracker."""
