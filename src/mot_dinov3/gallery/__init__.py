"""Known identities: folders of pictures → embeddings → who a track is. A stage that works with any tracker."""
