"""From the attention of class tokens to masks: class maps, their refinement, and the class of every pixel."""
