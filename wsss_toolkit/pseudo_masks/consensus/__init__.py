"""One head for the whole data set, fitted to the seeds of all images, draws the masks: docs/method.md, "Consensus"."""
