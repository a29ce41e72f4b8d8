"""What each class token attends to, and how a mask comes of it."""
