"""The loss of the classifier: a sum of terms that the recipe names."""
