"""Images on their way to a network: data sets, scaling, random changes, windows."""
