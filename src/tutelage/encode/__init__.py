"""From texts to vectors: which model a name means, and how texts are packed so that little padding is computed."""
