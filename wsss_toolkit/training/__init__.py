"""Training the classifier: losses, schedule, cached frozen blocks, and the trainer."""
